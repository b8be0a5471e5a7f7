//! Signatures of releases (OpenPGP cleartext signatures, RFC 9580 section 7).
//!
//! In: the bytes of an `InRelease` and keyrings. Out: the text that a key of
//! the keyring has signed, and only that, with the fingerprints of the signers.
//! MD5, SHA-1 and RIPEMD-160 signatures do not count, nor do revoked or
//! expired keys. One good signature is enough, as for apt.

use std::fs;
use std::path::Path;

use pgp::composed::{CleartextSignedMessage, Deserializable, SignedPublicKey};
use pgp::crypto::hash::HashAlgorithm;
use pgp::packet::Signature;
use pgp::types::KeyDetails;

use super::DebianError;

/// The largest keyring that is read, in bytes.
const KEYRING_LIMIT: u64 = 16 << 20;

/// Reads the keys of a keyring file, binary or armored.
pub(super) fn keys_of_file(path: &Path) -> Result<Vec<SignedPublicKey>, DebianError> {
    let size = fs::metadata(path).map_err(DebianError::io("reading keyring", path))?.len();
    if size > KEYRING_LIMIT {
        let what = path.display().to_string();
        return Err(DebianError::TooLarge { what, limit: KEYRING_LIMIT });
    }
    let bytes = fs::read(path).map_err(DebianError::io("reading keyring", path))?;
    keys(&bytes).map_err(|reason| DebianError::Keyring { path: path.into(), reason })
}

/// The keys in a keyring's bytes. Keys of kinds that are not known are skipped.
pub(super) fn keys(bytes: &[u8]) -> Result<Vec<SignedPublicKey>, String> {
    let (all, _) = SignedPublicKey::from_reader_many(bytes).map_err(|e| e.to_string())?;
    let keys: Vec<_> = all.filter_map(Result::ok).collect();
    if keys.is_empty() { Err("it holds no keys".into()) } else { Ok(keys) }
}

/// The signed text of `message` and the fingerprints of those who signed it.
pub(super) fn signed_text(
    message: &[u8],
    keys: &[SignedPublicKey],
    url: &str,
    now: u64,
) -> Result<(String, Vec<String>), DebianError> {
    let refuse = |reason: String| DebianError::Signature { url: url.to_owned(), reason };
    let text = std::str::from_utf8(message).map_err(|_| refuse("it is not UTF-8".into()))?;
    let (message, _) =
        CleartextSignedMessage::from_string(text).map_err(|e| refuse(e.to_string()))?;
    let signed = message.signed_text();
    let mut signers: Vec<String> = Vec::new();
    let mut reasons: Vec<String> = Vec::new();
    for signature in message.signatures() {
        if !is_strong(signature) {
            reasons.push("a signature uses a weak hash".into());
            continue;
        }
        match keys.iter().find_map(|key| signer(signature, key, signed.as_bytes())) {
            None => reasons.push(format!("no key for {:?}", signature.issuer_key_id())),
            Some((key, fingerprint)) => match unusable(key, now) {
                Some(why) => reasons.push(format!("key {fingerprint} {why}")),
                None => signers.push(fingerprint),
            },
        }
    }
    signers.sort();
    signers.dedup();
    if signers.is_empty() {
        reasons.sort();
        return Err(refuse(if reasons.is_empty() {
            "no signature".into()
        } else {
            reasons.join(", ")
        }));
    }
    Ok((signed.replace("\r\n", "\n"), signers))
}

fn is_strong(signature: &Signature) -> bool {
    matches!(
        signature.hash_alg(),
        Some(
            HashAlgorithm::Sha256
                | HashAlgorithm::Sha384
                | HashAlgorithm::Sha512
                | HashAlgorithm::Sha3_256
                | HashAlgorithm::Sha3_512
        )
    )
}

/// The primary key whose key or signing subkey made the signature, with the
/// fingerprint of the one that did.
fn signer<'k>(
    signature: &Signature,
    key: &'k SignedPublicKey,
    data: &[u8],
) -> Option<(&'k SignedPublicKey, String)> {
    if signature.verify(&key.primary_key, data).is_ok() {
        return Some((key, format!("{:X}", key.primary_key.fingerprint())));
    }
    let subkey = key.public_subkeys.iter().find(|subkey| {
        signature.verify(&subkey.key, data).is_ok()
            && subkey.verify_bindings(&key.primary_key).is_ok()
            && subkey.signatures.iter().any(|binding| binding.key_flags().sign())
    })?;
    Some((key, format!("{:X}", subkey.key.fingerprint())))
}

/// Why a key cannot vouch for anything at `now`, if so.
fn unusable(key: &SignedPublicKey, now: u64) -> Option<&'static str> {
    let revoked = |signature: &Signature| signature.verify_key(&key.primary_key).is_ok();
    if key.details.revocation_signatures.iter().any(revoked) {
        return Some("is revoked");
    }
    let own = key
        .details
        .users
        .iter()
        .flat_map(|user| &user.signatures)
        .chain(&key.details.direct_signatures)
        .filter(|signature| signature.is_certification() || signature.created().is_some());
    let latest = own.max_by_key(|signature| signature.created().map_or(0, |at| at.as_secs()))?;
    let life = latest.key_expiration_time()?.as_secs();
    let created = key.primary_key.created_at().as_secs();
    (life != 0 && u64::from(created) + u64::from(life) < now).then_some("is expired")
}
