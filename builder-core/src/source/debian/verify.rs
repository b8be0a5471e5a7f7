//! Signatures of releases (OpenPGP cleartext signatures, RFC 9580 section 7).
//!
//! In: the bytes of an `InRelease` and keyrings. Out: the text that a key of
//! the keyring has signed, and only that, with the fingerprints of the signers.
//! MD5, SHA-1 and RIPEMD-160 signatures do not count, nor do keys and subkeys
//! that are revoked, expired or weak (DSA, RSA below 2048 bits). One good
//! signature is enough, as for apt.

use std::fs;
use std::path::Path;

use pgp::composed::{CleartextSignedMessage, Deserializable, SignedPublicKey, SignedPublicSubKey};
use pgp::crypto::hash::HashAlgorithm;
use pgp::packet::{Signature, SignatureType};
use pgp::ser::Serialize;
use pgp::types::{KeyDetails, PublicParams, Tag};

use super::DebianError;

/// The largest keyring that is read, in bytes.
const KEYRING_LIMIT: u64 = 16 << 20;

/// The shortest RSA modulus that counts.
const RSA_BITS: u16 = 2048;

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
            Some(signer) => match signer.unusable(now) {
                Some(why) => reasons.push(format!("key {} {why}", signer.fingerprint())),
                None => signers.push(signer.fingerprint()),
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

/// A key that made a signature: a primary one, or a subkey of it.
struct Signer<'k> {
    key: &'k SignedPublicKey,
    subkey: Option<&'k SignedPublicSubKey>,
}

/// The primary key or signing subkey that made the signature.
fn signer<'k>(signature: &Signature, key: &'k SignedPublicKey, data: &[u8]) -> Option<Signer<'k>> {
    if signature.verify(&key.primary_key, data).is_ok() {
        return Some(Signer { key, subkey: None });
    }
    let subkey = key.public_subkeys.iter().find(|subkey| {
        signature.verify(&subkey.key, data).is_ok()
            && subkey.verify_bindings(&key.primary_key).is_ok()
            && subkey.signatures.iter().any(|binding| binding.key_flags().sign())
    })?;
    Some(Signer { key, subkey: Some(subkey) })
}

impl Signer<'_> {
    fn fingerprint(&self) -> String {
        match self.subkey {
            Some(subkey) => format!("{:X}", subkey.key.fingerprint()),
            None => format!("{:X}", self.key.primary_key.fingerprint()),
        }
    }

    /// Why it cannot vouch for anything at `now`, if so.
    fn unusable(&self, now: u64) -> Option<&'static str> {
        let Self { key, subkey } = self;
        let primary = &key.primary_key;
        let revoked = |signature: &Signature| signature.verify_key(primary).is_ok();
        // That a subkey's signatures are the primary key's was checked with its binding.
        let withdrawn = |subkey: &&SignedPublicSubKey| {
            let types = subkey.signatures.iter().map(Signature::typ);
            types.into_iter().any(|typ| typ == Some(SignatureType::SubkeyRevocation))
        };
        if key.details.revocation_signatures.iter().any(revoked)
            || subkey.is_some_and(|s| withdrawn(&s))
        {
            return Some("is revoked");
        }
        if is_weak(primary.public_params())
            || subkey.is_some_and(|s| is_weak(s.key.public_params()))
        {
            return Some("is weak");
        }
        // Others may have certified the key too: only what it says of itself counts.
        let certified = key.details.users.iter().flat_map(|user| {
            let own =
                |s: &&Signature| s.verify_certification(primary, Tag::UserId, &user.id).is_ok();
            user.signatures.iter().filter(own)
        });
        let direct = key.details.direct_signatures.iter().filter(|s| s.verify_key(primary).is_ok());
        let own = certified.chain(direct);
        let expired = has_expired(own, primary.created_at().as_secs(), now)
            || subkey.is_some_and(|subkey| {
                has_expired(subkey.signatures.iter(), subkey.key.created_at().as_secs(), now)
            });
        expired.then_some("is expired")
    }
}

/// Whether the latest of a key's own signatures ends its life before `now`.
fn has_expired<'s>(own: impl Iterator<Item = &'s Signature>, created: u32, now: u64) -> bool {
    let latest = own.max_by_key(|signature| signature.created().map_or(0, |at| at.as_secs()));
    let life = latest.and_then(Signature::key_expiration_time).map_or(0, |life| life.as_secs());
    life != 0 && u64::from(created) + u64::from(life) < now
}

/// Keys that nobody should trust any more.
fn is_weak(params: &PublicParams) -> bool {
    match params {
        PublicParams::DSA(_) => true,
        // The modulus is written first, and before it its length in bits.
        PublicParams::RSA(rsa) => match rsa.to_bytes().as_deref() {
            Ok([high, low, ..]) => u16::from_be_bytes([*high, *low]) < RSA_BITS,
            _ => true,
        },
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use pgp::types::RsaPublicParams;

    use super::*;

    #[test]
    fn rsa_below_2048_bits_is_weak() {
        for (bytes, weak) in [(128, true), (255, true), (256, false), (512, false)] {
            // Two MPIs: their length in bits, then the number; the second is 65537.
            let bits = u16::try_from(bytes * 8).expect("small");
            let modulus = vec![0xff; bytes];
            let written = [&bits.to_be_bytes()[..], &modulus, &[0, 17, 1, 0, 1]].concat();
            let params = RsaPublicParams::try_from_reader(&written[..]).expect("well-formed");
            assert_eq!(is_weak(&PublicParams::RSA(params)), weak, "{bytes} bytes");
        }
    }
}
