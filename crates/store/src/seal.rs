//! The key of the house: seals secrets at rest, and tells equal from different without showing either.

use std::sync::Arc;

use chacha20poly1305::{
    KeyInit as _, XChaCha20Poly1305, XNonce,
    aead::{Aead, Payload},
};
use domain::{chain::hex, name::SpecificationDigest, specification::Specification};
use hmac::{Hmac, Mac};
use serde_json::Value;
use sha2::Sha256;

/// First byte of what is sealed: the way it is sealed.
const FORMAT: u8 = 1;
const KEY_ID_BYTES: usize = 8;
const NONCE_BYTES: usize = 24;
const HEADER_BYTES: usize = 1 + KEY_ID_BYTES + NONCE_BYTES;

/// Which key something is sealed with; says nothing about the key itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyId([u8; KEY_ID_BYTES]);

impl std::fmt::Display for KeyId {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(&hex(&self.0))
    }
}

/// The key file's key. Clones share it; it is never printed.
#[derive(Clone)]
pub struct SecretKey {
    keys: Arc<Keys>,
}

/// One key per use, so that what one use gives away helps with no other.
struct Keys {
    id: KeyId,
    seal: [u8; 32],
    digest: [u8; 32],
    fingerprint: [u8; 32],
}

impl std::fmt::Debug for SecretKey {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "SecretKey({})", self.keys.id)
    }
}

/// Why something sealed can not be opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// It is sealed with another key.
    #[error("it is sealed with key {0}, which is not here")]
    KeyLost(KeyId),
    /// It was changed, or belongs elsewhere.
    #[error("it is not what was sealed")]
    Corrupt,
}

impl From<OpenError> for crate::Error {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::KeyLost(id) => Self::KeyLost(id.to_string()),
            OpenError::Corrupt => Self::Corrupt(error.to_string()),
        }
    }
}

impl SecretKey {
    /// The key from the key file's bytes.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        let derive = |purpose: &str| mac(&bytes, &[b"sternway", purpose.as_bytes()]);
        let mut id = [0; KEY_ID_BYTES];
        id.copy_from_slice(&derive("key id")[..KEY_ID_BYTES]);
        let keys = Keys {
            id: KeyId(id),
            seal: derive("seal"),
            digest: derive("digest"),
            fingerprint: derive("fingerprint"),
        };
        Self {
            keys: Arc::new(keys),
        }
    }

    /// Which key this is.
    #[must_use]
    pub fn key_id(&self) -> KeyId {
        self.keys.id.clone()
    }

    /// Seals. `about` names what it belongs to: it opens nowhere else.
    #[must_use]
    pub fn seal(&self, about: &str, plaintext: &[u8]) -> Vec<u8> {
        let mut nonce = [0; NONCE_BYTES];
        getrandom::fill(&mut nonce).expect("the kernel has a random number generator");
        let mut sealed = Vec::with_capacity(HEADER_BYTES + plaintext.len() + 16);
        sealed.push(FORMAT);
        sealed.extend_from_slice(&self.keys.id.0);
        sealed.extend_from_slice(&nonce);
        let payload = Payload {
            msg: plaintext,
            aad: about.as_bytes(),
        };
        let body = self.cipher().encrypt(&XNonce::from(nonce), payload);
        sealed
            .extend(body.expect("a text in memory is shorter than the cipher's limit of 256 GiB"));
        sealed
    }

    /// Opens what was sealed for `about`.
    ///
    /// # Errors
    /// The key is another, or what is there is not what was sealed.
    pub fn open(&self, about: &str, sealed: &[u8]) -> Result<Vec<u8>, OpenError> {
        let (header, body) = sealed
            .split_at_checked(HEADER_BYTES)
            .ok_or(OpenError::Corrupt)?;
        let (id, nonce) = header[1..].split_at(KEY_ID_BYTES);
        let id = KeyId(id.try_into().map_err(|_| OpenError::Corrupt)?);
        if header[0] != FORMAT {
            return Err(OpenError::Corrupt);
        }
        if id != self.keys.id {
            return Err(OpenError::KeyLost(id));
        }
        let nonce: [u8; NONCE_BYTES] = nonce.try_into().map_err(|_| OpenError::Corrupt)?;
        let payload = Payload {
            msg: body,
            aad: about.as_bytes(),
        };
        self.cipher()
            .decrypt(&XNonce::from(nonce), payload)
            .map_err(|_| OpenError::Corrupt)
    }

    /// Keyed fingerprint of an environment value, 16 hex digits: equal values of one name have equal ones.
    #[must_use]
    pub fn fingerprint(&self, name: &str, value: &str) -> String {
        hex(&mac(&self.keys.fingerprint, &[name.as_bytes(), value.as_bytes()])[..8])
    }

    /// Keyed fingerprints of every environment value of a specification by name.
    #[must_use]
    pub fn fingerprints(
        &self,
        specification: &Specification,
    ) -> std::collections::BTreeMap<String, String> {
        let entries = specification
            .env
            .iter()
            .map(|entry| entry.split_once('=').unwrap_or((entry, "")));
        entries
            .map(|(name, value)| (name.to_owned(), self.fingerprint(name, value)))
            .collect()
    }

    /// Keyed fingerprints of the commands in a create body by what each is for: command lines hold passwords.
    #[must_use]
    pub fn commands(&self, body: &Value) -> std::collections::BTreeMap<String, String> {
        let named = [
            ("command", body.get("Cmd")),
            ("entry point", body.get("Entrypoint")),
            ("health command", body.pointer("/Healthcheck/Test")),
        ];
        let given = named.into_iter().filter_map(|(name, words)| {
            let words = words.filter(|words| !words.is_null())?;
            Some((name.to_owned(), self.fingerprint(name, &words.to_string())))
        });
        given.collect()
    }

    /// Keyed digest of a specification, environment values included.
    #[must_use]
    pub fn digest(&self, specification: &Specification) -> SpecificationDigest {
        let mut text = String::new();
        canonical(&specification.body, &mut text);
        // The order of environment entries means nothing and differs between engines.
        let mut env = specification.env.clone();
        env.sort_unstable();
        let env = Value::from(env).to_string();
        let digest = hex(&mac(&self.keys.digest, &[text.as_bytes(), env.as_bytes()]));
        digest.parse().expect("32 bytes in hex are a digest")
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new(&self.keys.seal.into())
    }
}

/// HMAC-SHA-256 over the parts, each preceded by its length.
fn mac(key: &[u8; 32], parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = <Hmac<Sha256> as hmac::KeyInit>::new_from_slice(key)
        .expect("HMAC takes a key of any length");
    for part in parts {
        mac.update(&(part.len() as u64).to_be_bytes());
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

/// JSON text with sorted keys: Postgres keeps another order than the engine gave.
fn canonical(value: &Value, out: &mut String) {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            out.push_str(&value.to_string())
        }
        Value::Array(items) => {
            out.push('[');
            for item in items {
                canonical(item, out);
                out.push(',');
            }
            out.push(']');
        }
        Value::Object(fields) => {
            let mut names: Vec<&String> = fields.keys().collect();
            names.sort_unstable();
            out.push('{');
            for name in names {
                out.push_str(&Value::from(name.as_str()).to_string());
                out.push(':');
                canonical(&fields[name], out);
                out.push(',');
            }
            out.push('}');
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn key(byte: u8) -> SecretKey {
        SecretKey::from_bytes([byte; 32])
    }

    #[test]
    fn what_is_sealed_opens_with_the_key_at_its_place_only() {
        let sealed = key(1).seal("a", b"secret");
        assert_eq!(key(1).open("a", &sealed).unwrap(), b"secret");
        assert_eq!(key(1).open("b", &sealed), Err(OpenError::Corrupt));
        assert_eq!(
            key(2).open("a", &sealed),
            Err(OpenError::KeyLost(key(1).key_id()))
        );
        assert_ne!(key(1).seal("a", b"secret"), sealed);
    }

    #[test]
    fn any_changed_byte_is_noticed() {
        let sealed = key(1).seal("a", b"secret");
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(key(1).open("a", &changed).is_err(), "byte {at}");
            assert!(key(1).open("a", &sealed[..at]).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn a_specification_is_the_same_in_any_order_of_its_fields() {
        let with = |body, env: &[&str]| Specification {
            body,
            env: env.iter().map(|&e| e.to_owned()).collect(),
        };
        let base = key(1).digest(&with(json!({"a": 1, "b": {"c": 2, "d": [3]}}), &["X=1"]));
        assert_eq!(
            base,
            key(1).digest(&with(json!({"b": {"d": [3], "c": 2}, "a": 1}), &["X=1"]))
        );
        assert_ne!(
            base,
            key(1).digest(&with(json!({"a": 1, "b": {"c": 2, "d": [3]}}), &["X=2"]))
        );
        assert_ne!(
            base,
            key(2).digest(&with(json!({"a": 1, "b": {"c": 2, "d": [3]}}), &["X=1"]))
        );
    }

    #[test]
    fn a_fingerprint_shows_equality_and_no_value() {
        assert_eq!(key(1).fingerprint("A", "x"), key(1).fingerprint("A", "x"));
        assert_ne!(key(1).fingerprint("A", "x"), key(1).fingerprint("B", "x"));
        assert_eq!(key(1).fingerprint("A", "x").len(), 16);
        assert!(!format!("{:?}", key(7)).contains("0707"));
        let prints = key(1).commands(&json!({"Cmd": ["--password", "x"], "Entrypoint": null}));
        assert_eq!(prints.keys().collect::<Vec<_>>(), ["command"]);
        assert_ne!(
            prints,
            key(1).commands(&json!({"Cmd": ["--password", "y"]}))
        );
    }
}
