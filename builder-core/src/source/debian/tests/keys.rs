//! Which keys and signatures count: all are made here.

use pgp::composed::{
    ArmorOptions, CleartextSignedMessage, KeyType, SecretKeyParamsBuilder, SignedPublicKey,
    SignedSecretKey, SubkeyParamsBuilder,
};
use pgp::crypto::hash::HashAlgorithm;
use pgp::packet::{Signature, SignatureConfig, SignatureType, Subpacket, SubpacketData};
use pgp::types::{Duration, KeyDetails as _, Password, SigningKey, Timestamp};

use super::super::verify::signed_text;

const TEXT: &str = "Suite: test\n";

/// A key with a subkey, both for signing.
fn key(kind: KeyType) -> SignedSecretKey {
    let subkey = SubkeyParamsBuilder::default()
        .key_type(KeyType::Ed25519Legacy)
        .can_sign(true)
        .build()
        .expect("valid");
    let mut params = SecretKeyParamsBuilder::default();
    params.key_type(kind).can_certify(true).can_sign(true).subkey(subkey);
    params.primary_user_id("Test <t@example>".into());
    params.build().expect("valid").generate(rand::thread_rng()).expect("generates")
}

fn armored(message: &CleartextSignedMessage) -> Vec<u8> {
    message.to_armored_string(ArmorOptions::default()).expect("armors").into_bytes()
}

fn signed(by: &impl SigningKey) -> Vec<u8> {
    let message = CleartextSignedMessage::sign(rand::thread_rng(), TEXT, by, &Password::empty());
    armored(&message.expect("signs"))
}

/// The signer's fingerprint, or why the signature does not count.
fn verdict(message: &[u8], key: &SignedPublicKey, later: u64) -> Result<String, String> {
    let now = u64::from(Timestamp::now().as_secs()) + later;
    match signed_text(message, std::slice::from_ref(key), "URL", now) {
        Ok((text, signers)) => {
            assert_eq!(text, TEXT);
            Ok(signers.join(","))
        }
        Err(error) => Err(error.to_string()),
    }
}

/// A signature by the primary key about itself.
fn about_itself(key: &SignedSecretKey, typ: SignatureType, more: Vec<SubpacketData>) -> Signature {
    let mut config =
        SignatureConfig::from_key(rand::thread_rng(), &key.primary_key, typ).expect("a config");
    let all = [SubpacketData::SignatureCreationTime(Timestamp::now())].into_iter().chain(more);
    config.hashed_subpackets = all.map(|s| Subpacket::regular(s).expect("a subpacket")).collect();
    let public = key.primary_key.public_key();
    config.sign_key(&key.primary_key, &Password::empty(), public).expect("signs")
}

#[test]
fn a_key_and_its_subkey_count_until_they_are_revoked_or_expire() {
    let secret = key(KeyType::Ed25519Legacy);
    let public = secret.to_public_key();
    let subkey = &secret.secret_subkeys[0];
    let (by_primary, by_subkey) = (signed(&secret.primary_key), signed(&subkey.key));
    let fingerprint = format!("{:X}", secret.primary_key.fingerprint());
    assert_eq!(verdict(&by_primary, &public, 0), Ok(fingerprint));
    let fingerprint = format!("{:X}", subkey.key.fingerprint());
    assert_eq!(verdict(&by_subkey, &public, 0), Ok(fingerprint));

    let mut revoked = public.clone();
    revoked.details.revocation_signatures.push(about_itself(
        &secret,
        SignatureType::KeyRevocation,
        vec![],
    ));
    let life = SubpacketData::KeyExpirationTime(Duration::from_secs(1000));
    let mut short = public;
    short.details.direct_signatures.push(about_itself(&secret, SignatureType::Key, vec![life]));
    for message in [&by_primary, &by_subkey] {
        let refused = verdict(message, &revoked, 0).expect_err("revoked");
        assert!(refused.ends_with("is revoked"), "{refused}");
        verdict(message, &short, 900).expect("not expired yet");
        let refused = verdict(message, &short, 1100).expect_err("expired");
        assert!(refused.ends_with("is expired"), "{refused}");
    }
}

#[test]
fn a_revoked_subkey_takes_only_itself_with_it() {
    let secret = key(KeyType::Ed25519Legacy);
    let mut public = secret.to_public_key();
    let typ = SignatureType::SubkeyRevocation;
    let mut config =
        SignatureConfig::from_key(rand::thread_rng(), &secret.primary_key, typ).expect("a config");
    let made = SubpacketData::SignatureCreationTime(Timestamp::now());
    config.hashed_subpackets = vec![Subpacket::regular(made).expect("a subpacket")];
    let primary = &secret.primary_key;
    let revocation = config
        .sign_subkey_binding(
            primary,
            primary.public_key(),
            &Password::empty(),
            &public.public_subkeys[0].key,
        )
        .expect("signs");
    public.public_subkeys[0].signatures.push(revocation);
    let refused = verdict(&signed(&secret.secret_subkeys[0].key), &public, 0);
    let refused = refused.expect_err("revoked");
    assert!(refused.ends_with("is revoked"), "{refused}");
    verdict(&signed(primary), &public, 0).expect("the primary key stands");
}

#[test]
fn signatures_with_a_weak_hash_do_not_count() {
    let secret = key(KeyType::Rsa(2048));
    let public = secret.to_public_key();
    verdict(&signed(&secret.primary_key), &public, 0).expect("strong enough");
    let primary = &secret.primary_key;
    let mut config =
        SignatureConfig::v4(SignatureType::Text, primary.algorithm(), HashAlgorithm::Sha1);
    let made = SubpacketData::SignatureCreationTime(Timestamp::now());
    config.hashed_subpackets = vec![Subpacket::regular(made).expect("a subpacket")];
    let message = CleartextSignedMessage::new(TEXT, config, primary, &Password::empty());
    let refused = verdict(&armored(&message.expect("signs")), &public, 0).expect_err("SHA-1");
    assert!(refused.contains("weak hash"), "{refused}");
}
