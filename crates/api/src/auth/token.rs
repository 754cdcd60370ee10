//! The shape of API tokens: `rb_<type>_<30 base62>_<checksum>`. A double click takes one whole, a scanner
//! finds it in a repository, and a mistyped one is refused without asking the database.

use sha2::{Digest as _, Sha256};

const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// 30 digits of base 62 hold 178 bits.
const SECRET_CHARS: usize = 30;
/// 6 digits of base 62 hold any CRC-32.
const CHECKSUM_CHARS: usize = 6;

/// What a token is for; part of its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenType {
    /// A person's.
    Person,
    /// A service's, such as CI.
    Service,
    /// The one that makes the first token.
    Setup,
}

impl TokenType {
    fn word(self) -> &'static str {
        match self {
            Self::Person => "person",
            Self::Service => "service",
            Self::Setup => "setup",
        }
    }
}

/// A token as its bearer has it. Shown once, never stored, never logged.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// A new token from the system's randomness.
    ///
    /// # Errors
    /// When the system gives none.
    pub fn generate(kind: TokenType) -> Result<Self, getrandom::Error> {
        let mut secret = String::with_capacity(SECRET_CHARS);
        while secret.len() < SECRET_CHARS {
            let mut bytes = [0_u8; SECRET_CHARS];
            getrandom::fill(&mut bytes)?;
            // 248 is the largest multiple of 62 in a byte: the rest is thrown away, so each digit is as likely.
            let digits = bytes
                .iter()
                .filter(|byte| **byte < 248)
                .map(|byte| ALPHABET[usize::from(byte % 62)]);
            secret.extend(digits.take(SECRET_CHARS - secret.len()).map(char::from));
        }
        let head = format!("rb_{}_{secret}", kind.word());
        let checksum = checksum(&head);
        Ok(Self(format!("{head}_{checksum}")))
    }

    /// The token in this text, when its shape and checksum are right.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (head, sum) = text.rsplit_once('_')?;
        let (kind, secret) = head.strip_prefix("rb_")?.split_once('_')?;
        let known = [TokenType::Person, TokenType::Service, TokenType::Setup]
            .iter()
            .any(|t| t.word() == kind);
        let base62 = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric());
        let shaped = known && secret.len() == SECRET_CHARS && base62(secret);
        (shaped && checksum(head) == sum).then(|| Self(text.to_owned()))
    }

    /// What is stored: SHA-256. Enough for 178 random bits, which no dictionary holds.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        Sha256::digest(self.0.as_bytes()).into()
    }

    /// Whether this is a set-up token.
    #[must_use]
    pub fn is_setup(&self) -> bool {
        self.0.starts_with("rb_setup_")
    }

    /// The text, to be shown once.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Token(hidden)")
    }
}

fn checksum(head: &str) -> String {
    let mut rest = crc32fast::hash(head.as_bytes()) as usize;
    let mut digits = [b'0'; CHECKSUM_CHARS];
    for digit in digits.iter_mut().rev() {
        *digit = ALPHABET[rest % 62];
        rest /= 62;
    }
    digits.iter().copied().map(char::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_token_is_read_back_and_a_mistyped_one_is_not() {
        let token = Token::generate(TokenType::Person).unwrap();
        assert_eq!(Token::parse(token.reveal()), Some(token.clone()));
        for at in 0..token.reveal().len() {
            let mut bytes = token.reveal().as_bytes().to_vec();
            bytes[at] = if bytes[at] == b'x' { b'y' } else { b'x' };
            let text = String::from_utf8(bytes).unwrap();
            assert_eq!(Token::parse(&text), None, "a change at {at} was not seen");
        }
    }

    #[test]
    fn what_is_no_token_is_none() {
        for text in [
            "",
            "rb_",
            "rb_person__",
            "Bearer",
            "rb_admin_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa_000000",
            "ü",
        ] {
            assert_eq!(Token::parse(text), None, "{text}");
        }
    }

    #[test]
    fn the_text_is_not_in_the_debug_form() {
        let token = Token::generate(TokenType::Service).unwrap();
        assert_eq!(format!("{token:?}"), "Token(hidden)");
        assert!(!token.is_setup());
    }
}
