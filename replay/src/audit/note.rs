//! Signed notes and tree heads, in the forms of C2SP `signed-note` and `tlog-checkpoint`, with Ed25519.
//!
//! What must stay true: a private key is shown by nothing but [`NoteSigner::to_secret_text`].

use std::fmt;
use std::str::FromStr;

use data_encoding::{BASE64, HEXLOWER};
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use sha2::{Digest, Sha256};

use super::merkle::Hash;

/// The type of a key and of its signatures: Ed25519.
const ED25519: u8 = 1;
const SECRET_PREFIX: &str = "PRIVATE+KEY+";
/// An em dash and a space begin the line of a signature.
const SIGNATURE_PREFIX: &str = "— ";
/// A note with more signatures than this is not looked at.
const MOST_SIGNATURES: usize = 100;

/// Why a text is no key of a note.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// A name is at least one character, none of them a space, a control character or a plus.
    #[error("a key's name has neither spaces nor '+', and is not empty")]
    Name,
    /// Not `<name>+<id>+<key>`, with `PRIVATE+KEY+` before it where it is a private key.
    #[error("not an Ed25519 key in the form of a signed note's")]
    Malformed,
    /// Its id is not the hash of its name and key; a part of it was changed.
    #[error("the id of the key does not belong to its name and key")]
    WrongId,
    /// The system gave no random bytes.
    #[error("the system gives no random bytes to make a key of")]
    NoRandomness,
}

/// Why a note says nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// Not a text, an empty line and signatures.
    #[error("not a signed note")]
    Malformed,
    /// Nothing in it is signed by the key.
    #[error("the note is not signed by this key")]
    NotSigned,
    /// A signature says that it is by the key, and is not.
    #[error("the signature of the note is wrong")]
    WrongSignature,
    /// The text is not an origin, a size and a root hash.
    #[error("the note is not a tree head")]
    NotATreeHead,
}

/// Says how large a tree is, and what its root is: with a signature, a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TreeHead {
    /// Names the log.
    pub origin: String,
    /// How many leaves there are.
    pub size: u64,
    /// The root over them.
    pub root: Hash,
}

impl TreeHead {
    /// The whole signed note.
    pub fn sign(&self, signer: &NoteSigner) -> String {
        signer.sign(&self.to_string())
    }

    /// The tree head that a note signed by this key says, of the origin that the key is for.
    pub fn open(note: &str, verifier: &NoteVerifier) -> Result<TreeHead, NoteError> {
        let head: TreeHead = verifier.open(note)?.parse()?;
        if head.origin == verifier.name { Ok(head) } else { Err(NoteError::NotATreeHead) }
    }

    /// What a note says, whoever signed it. Believe it only for what it is compared with.
    pub fn read_unverified(note: &str) -> Result<TreeHead, NoteError> {
        SignedNote::read(note)?.text.parse()
    }
}

impl fmt::Display for TreeHead {
    /// The note's text: three lines.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n{}\n{}", self.origin, self.size, self.root)
    }
}

impl FromStr for TreeHead {
    type Err = NoteError;

    /// Lines after the third are extensions, which a log may add and a reader leaves alone.
    fn from_str(text: &str) -> Result<Self, NoteError> {
        let lines: Vec<&str> = text.strip_suffix('\n').ok_or(NoteError::NotATreeHead)?.split('\n').collect();
        let [origin, size, root, ..] = lines[..] else { return Err(NoteError::NotATreeHead) };
        let number: u64 = size.parse().map_err(|_| NoteError::NotATreeHead)?;
        // A number has one spelling.
        if lines.contains(&"") || number.to_string() != size {
            return Err(NoteError::NotATreeHead);
        }
        let root = root.parse().map_err(|_| NoteError::NotATreeHead)?;
        Ok(TreeHead { origin: origin.to_owned(), size: number, root })
    }
}

/// A private key with the name that it signs under.
#[derive(Clone)]
pub struct NoteSigner {
    name: String,
    key: SigningKey,
}

impl NoteSigner {
    /// A new key.
    pub fn generate(name: &str) -> Result<Self, KeyError> {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(|_| KeyError::NoRandomness)?;
        Ok(NoteSigner { name: checked_name(name)?, key: SigningKey::from_bytes(&seed) })
    }

    /// The same key under another name. A verifier of the one does not know the other's signatures.
    pub fn named(&self, name: &str) -> Result<Self, KeyError> {
        Ok(NoteSigner { name: checked_name(name)?, key: self.key.clone() })
    }

    /// What it signs under.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Checks what this signs.
    pub fn verifier(&self) -> NoteVerifier {
        NoteVerifier::of(self.name.clone(), self.key.verifying_key())
    }

    /// The signed note of a text that ends in a newline.
    pub fn sign(&self, text: &str) -> String {
        let signature = self.key.sign(text.as_bytes());
        let bytes = [&self.verifier().id[..], &signature.to_bytes()].concat();
        format!("{text}\n{SIGNATURE_PREFIX}{} {}\n", self.name, BASE64.encode(&bytes))
    }

    /// `PRIVATE+KEY+<name>+<id>+<key>`, for the file that keeps it and nothing else.
    pub fn to_secret_text(&self) -> String {
        let key = [&[ED25519][..], self.key.as_bytes()].concat();
        let id = HEXLOWER.encode(&self.verifier().id);
        format!("{SECRET_PREFIX}{}+{id}+{}", self.name, BASE64.encode(&key))
    }
}

impl fmt::Debug for NoteSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NoteSigner({}, …)", self.name)
    }
}

impl FromStr for NoteSigner {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let (name, id, seed) = key_parts(text.strip_prefix(SECRET_PREFIX).ok_or(KeyError::Malformed)?)?;
        let signer = NoteSigner { name, key: SigningKey::from_bytes(&seed) };
        if signer.verifier().id == id { Ok(signer) } else { Err(KeyError::WrongId) }
    }
}

/// A public key with the name that it checks. As text, `<name>+<id>+<key>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoteVerifier {
    name: String,
    id: [u8; 4],
    key: VerifyingKey,
}

impl NoteVerifier {
    fn of(name: String, key: VerifyingKey) -> Self {
        let hash =
            Sha256::new().chain_update(&name).chain_update([b'\n', ED25519]).chain_update(key.as_bytes());
        let hash: [u8; 32] = hash.finalize().into();
        NoteVerifier { name, id: [hash[0], hash[1], hash[2], hash[3]], key }
    }

    /// Whose signatures it checks.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The text of a note that the key has signed. Signatures by other keys are left alone.
    pub fn open<'n>(&self, note: &'n str) -> Result<&'n str, NoteError> {
        let note = SignedNote::read(note)?;
        let mut is_signed = false;
        for (name, signature) in note.signatures {
            let Some((id, signature)) = signature.split_at_checked(self.id.len()) else {
                return Err(NoteError::Malformed);
            };
            if name != self.name || id != self.id {
                continue;
            }
            let signature = Signature::from_slice(signature).map_err(|_| NoteError::WrongSignature)?;
            let checked = self.key.verify_strict(note.text.as_bytes(), &signature);
            checked.map_err(|_| NoteError::WrongSignature)?;
            is_signed = true;
        }
        if is_signed { Ok(note.text) } else { Err(NoteError::NotSigned) }
    }
}

impl fmt::Display for NoteVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = [&[ED25519][..], self.key.as_bytes()].concat();
        write!(f, "{}+{}+{}", self.name, HEXLOWER.encode(&self.id), BASE64.encode(&key))
    }
}

impl FromStr for NoteVerifier {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let (name, id, key) = key_parts(text)?;
        let key = VerifyingKey::from_bytes(&key).map_err(|_| KeyError::Malformed)?;
        let verifier = NoteVerifier::of(name, key);
        if verifier.id == id { Ok(verifier) } else { Err(KeyError::WrongId) }
    }
}

/// A note taken apart, nothing checked.
struct SignedNote<'n> {
    /// With the newline at its end.
    text: &'n str,
    /// Name, and the bytes of id and signature.
    signatures: Vec<(&'n str, Vec<u8>)>,
}

impl<'n> SignedNote<'n> {
    fn read(note: &'n str) -> Result<Self, NoteError> {
        if note.chars().any(|c| c < ' ' && c != '\n') {
            return Err(NoteError::Malformed);
        }
        // The last empty line is the border; the text keeps the newline before it.
        let border = note.rfind("\n\n").ok_or(NoteError::Malformed)?;
        let (text, rest) = (&note[..border + 1], &note[border + 2..]);
        let lines = rest.strip_suffix('\n').ok_or(NoteError::Malformed)?.split('\n');
        let signatures: Vec<_> = lines
            .take(MOST_SIGNATURES + 1)
            .map(signature)
            .collect::<Option<_>>()
            .ok_or(NoteError::Malformed)?;
        if signatures.len() > MOST_SIGNATURES {
            return Err(NoteError::Malformed);
        }
        Ok(SignedNote { text, signatures })
    }
}

/// Name, and the bytes of id and signature, of one line.
fn signature(line: &str) -> Option<(&str, Vec<u8>)> {
    let (name, encoded) = line.strip_prefix(SIGNATURE_PREFIX)?.split_once(' ')?;
    let bytes = BASE64.decode(encoded.as_bytes()).ok()?;
    (is_name(name) && bytes.len() > 4).then_some((name, bytes))
}

/// Cuts the first note off `text`, where several stand one after the other; None at the end, or where the rest is no
/// whole note. What is cut off may still be signed by anybody.
pub fn next_note(text: &str) -> Option<(&str, &str)> {
    let border = text.find("\n\n")?;
    let mut end = border + 2;
    while let Some(line) = text[end..].strip_prefix(SIGNATURE_PREFIX) {
        end += SIGNATURE_PREFIX.len() + line.find('\n')? + 1;
    }
    (end > border + 2).then(|| text.split_at(end))
}

/// Whether a key, and so a log, may have this name.
pub fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.chars().any(|c| c.is_whitespace() || c.is_control() || c == '+')
}

fn checked_name(name: &str) -> Result<String, KeyError> {
    if is_name(name) { Ok(name.to_owned()) } else { Err(KeyError::Name) }
}

/// Name, id and 32 bytes of `<name>+<id>+<key>`. Base64 has a plus of its own.
fn key_parts(text: &str) -> Result<(String, [u8; 4], [u8; 32]), KeyError> {
    let mut parts = text.splitn(3, '+');
    let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(KeyError::Malformed);
    };
    let id = HEXLOWER.decode(id.as_bytes()).ok().and_then(|id| id.try_into().ok());
    let key = BASE64.decode(key.as_bytes()).ok();
    let key = key.as_deref().and_then(|key| key.strip_prefix(&[ED25519])).and_then(|key| key.try_into().ok());
    let (Some(id), Some(key)) = (id, key) else { return Err(KeyError::Malformed) };
    Ok((checked_name(name)?, id, key))
}

#[cfg(test)]
mod tests;
