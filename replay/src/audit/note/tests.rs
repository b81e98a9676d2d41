//! Held against the example that stands in the documentation of Go's `golang.org/x/mod/sumdb/note`.

use super::*;

const PRIVATE: &str = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";
const PUBLIC: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
const TEXT: &str =
    "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n";
const SIGNATURE: &str = "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";

fn signer() -> NoteSigner {
    PRIVATE.parse().unwrap()
}

fn verifier() -> NoteVerifier {
    PUBLIC.parse().unwrap()
}

fn head() -> TreeHead {
    let root = "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=".parse().unwrap();
    TreeHead { origin: "PeterNeumann".to_owned(), size: 20_852_163, root }
}

#[test]
fn gos_example_is_signed_and_opened_byte_for_byte() {
    let note = format!("{TEXT}\n{SIGNATURE}");
    assert_eq!(signer().sign(TEXT), note);
    assert_eq!(verifier().open(&note), Ok(TEXT));
    assert_eq!(signer().verifier(), verifier());
    assert_eq!((signer().to_secret_text(), verifier().to_string()), (PRIVATE.to_owned(), PUBLIC.to_owned()));
}

#[test]
fn a_note_opens_with_nothing_changed() {
    let note = signer().sign(TEXT);
    for index in 0..note.len() {
        let mut bytes = note.clone().into_bytes();
        bytes[index] ^= 1;
        // What is no UTF-8 any more is no note either.
        if let Ok(other) = String::from_utf8(bytes) {
            assert!(verifier().open(&other).is_err(), "byte {index}: {other}");
        }
    }
    for length in (0..note.len()).filter(|&length| note.is_char_boundary(length)) {
        assert!(verifier().open(&note[..length]).is_err(), "the first {length} bytes");
    }
}

#[test]
fn other_peoples_signatures_are_left_alone() {
    let witness = NoteSigner::generate("witness.example/1").unwrap();
    let theirs = witness.sign(TEXT);
    let both = format!("{TEXT}\n{}{SIGNATURE}", theirs.strip_prefix(&format!("{TEXT}\n")).unwrap());
    assert_eq!(verifier().open(&both), Ok(TEXT));
    assert_eq!(witness.verifier().open(&both), Ok(TEXT));
    assert_eq!(verifier().open(&theirs), Err(NoteError::NotSigned));
    // The same name and another key; the same key under another name.
    let namesake = NoteSigner::generate("PeterNeumann").unwrap();
    assert_eq!(verifier().open(&namesake.sign(TEXT)), Err(NoteError::NotSigned));
    let renamed = signer().named("somebody.else").unwrap();
    assert_eq!(verifier().open(&renamed.sign(TEXT)), Err(NoteError::NotSigned));
}

#[test]
fn what_is_no_key_is_not_taken_for_one() {
    for bad in ["", "a", "a+c74f20a3", &PUBLIC.replace("Peter", "Peder"), &PUBLIC.replace("c74f", "c74e")] {
        assert!(bad.parse::<NoteVerifier>().is_err(), "{bad}");
    }
    assert_eq!(PUBLIC.replace("Peter", "Peder").parse::<NoteVerifier>(), Err(KeyError::WrongId));
    assert_eq!(PRIVATE.replace("a3", "a4").parse::<NoteSigner>().unwrap_err(), KeyError::WrongId);
    assert_eq!(PUBLIC.parse::<NoteSigner>().unwrap_err(), KeyError::Malformed);
    for bad in ["", "a b", "a+b", "a\u{a0}b", "a\n"] {
        assert_eq!(NoteSigner::generate(bad).unwrap_err(), KeyError::Name, "{bad:?}");
    }
}

#[test]
fn a_private_key_is_not_shown() {
    let shown = format!("{:?} {:#?}", signer(), signer());
    assert!(!shown.contains("AYEKFALVFGyN") && shown.contains("PeterNeumann"), "{shown}");
}

#[test]
fn two_keys_are_never_the_same() {
    let new = || NoteSigner::generate("log.example/0").unwrap().verifier();
    assert_ne!(new(), new());
}

#[test]
fn a_tree_head_is_three_lines() {
    let text = "PeterNeumann\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n";
    assert_eq!(head().to_string(), text);
    assert_eq!(text.parse(), Ok(head()));
    assert_eq!(format!("{text}an extension\n").parse(), Ok(head()));
    assert_eq!(TreeHead::open(&head().sign(&signer()), &verifier()), Ok(head()));
    for bad in [
        String::new(),
        text.trim_end().to_owned(),
        format!("{text}\n"),
        format!("\n{text}"),
        text.replace("2085", "02085"),
        text.replace("2085", "+2085"),
        text.replace("q2I=", "q2I"),
    ] {
        assert_eq!(bad.parse::<TreeHead>(), Err(NoteError::NotATreeHead), "{bad:?}");
    }
}

#[test]
fn a_tree_head_counts_for_the_log_that_its_key_is_for() {
    let other = TreeHead { origin: "another.example".to_owned(), ..head() };
    assert_eq!(TreeHead::open(&other.sign(&signer()), &verifier()), Err(NoteError::NotATreeHead));
    assert_eq!(TreeHead::read_unverified(&other.sign(&signer())), Ok(other));
}

#[test]
fn notes_stand_one_after_the_other() {
    let (first, second) = (head().sign(&signer()), TreeHead { size: 7, ..head() }.sign(&signer()));
    let file = format!("{first}{second}");
    let (one, rest) = next_note(&file).unwrap();
    assert_eq!((one, rest), (&*first, &*second));
    assert_eq!(next_note(rest), Some((&*second, "")));
    assert_eq!(next_note(""), None);
    for length in (1..second.len()).filter(|&length| second.is_char_boundary(length)) {
        assert_eq!(next_note(&second[..length]), None, "the first {length} bytes");
    }
}

#[test]
fn the_example_in_the_reference_is_a_real_one() {
    let page = include_str!("../../../../docs/src/reference/transparency-log.md");
    let note = page.split("```text\n").nth(1).unwrap().split("```").next().unwrap();
    let key = page.split('`').find(|span| span.starts_with("shop.example/orders/0+")).unwrap();
    let head = TreeHead::open(note, &key.parse().unwrap()).unwrap();
    assert_eq!((head.origin.as_str(), head.size), ("shop.example/orders/0", 3));
}
