//! Many rows in one value of sled, in the order of their keys: sled's price is by the value, and hardly by its length.
//!
//! A block is one version byte, then for each row the length of its key, the length of the row and one more (0 for a row
//! that is removed), the key and the row. Lengths are in LEB128.

use std::io::{self, Write};

use super::StoreError;

const VERSION: u8 = 2;

/// A key and its row; none for one that is removed.
pub(super) type Entry<'a> = (&'a [u8], Option<&'a [u8]>);

/// Puts rows together. Their keys have to ascend.
pub(super) fn encode<'a>(rows: impl IntoIterator<Item = Entry<'a>>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(1024);
    write(&mut bytes, rows).expect("writing into memory does not fail");
    bytes
}

/// The same, to a file.
pub(super) fn write<'a>(to: &mut impl Write, rows: impl IntoIterator<Item = Entry<'a>>) -> io::Result<()> {
    to.write_all(&[VERSION])?;
    for (key, row) in rows {
        write_length(to, key.len())?;
        write_length(to, row.map_or(0, |row| row.len() + 1))?;
        to.write_all(key)?;
        to.write_all(row.unwrap_or_default())?;
    }
    Ok(())
}

/// How many bytes an entry takes, or up to six fewer.
pub(super) fn length(key: &[u8], row: &[u8]) -> usize {
    key.len() + row.len() + 4
}

/// The rows of a block. An error is the last of them.
pub(super) fn decode(block: &[u8]) -> Result<Entries<'_>, StoreError> {
    match block.split_first() {
        Some((&VERSION, rest)) => Ok(Entries { rest }),
        Some(_) | None => Err(StoreError::Damaged("a block of another version".to_owned())),
    }
}

pub(super) struct Entries<'a> {
    rest: &'a [u8],
}

impl<'a> Entries<'a> {
    fn take(&mut self) -> Option<Entry<'a>> {
        let (key, row) = (self.length()?, self.length()?);
        let key = self.rest.split_off(..key)?;
        let row = match row.checked_sub(1) {
            Some(row) => Some(self.rest.split_off(..row)?),
            None => None,
        };
        Some((key, row))
    }

    fn length(&mut self) -> Option<usize> {
        let mut length = 0;
        for shift in (0..usize::BITS).step_by(7) {
            let byte = *self.rest.split_off_first()?;
            length |= usize::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(length);
            }
        }
        None
    }
}

impl<'a> Iterator for Entries<'a> {
    type Item = Result<Entry<'a>, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let entry = self.take();
        if entry.is_none() {
            self.rest = &[];
        }
        Some(entry.ok_or_else(|| StoreError::Damaged("a block that ends too soon".to_owned())))
    }
}

fn write_length(to: &mut impl Write, mut length: usize) -> io::Result<()> {
    while length >= 0x80 {
        to.write_all(&[length as u8 | 0x80])?;
        length >>= 7;
    }
    to.write_all(&[length as u8])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_was_put_in_comes_out(
            rows: Vec<(Vec<u8>, Option<Vec<u8>>)>,
            large in prop::option::of(100..20_000_usize),
        ) {
            let large = large.map(|length| (b"large".to_vec(), Some(vec![7; length])));
            let rows: Vec<_> = rows.into_iter().chain(large).collect();
            let entries = || rows.iter().map(|(key, row)| (key.as_slice(), row.as_deref()));
            let block = encode(entries());
            let found: Result<Vec<_>, _> = decode(&block).unwrap().collect();
            prop_assert_eq!(found.unwrap(), entries().collect::<Vec<_>>());
        }

        #[test]
        fn any_other_bytes_are_damage_and_no_panic(bytes: Vec<u8>) {
            let block = [&[VERSION], bytes.as_slice()].concat();
            for entry in decode(&block).unwrap() {
                prop_assert!(matches!(entry, Ok(_) | Err(StoreError::Damaged(_))));
            }
            prop_assert!(bytes.first() == Some(&VERSION) || decode(&bytes).is_err());
        }
    }

    #[test]
    fn a_block_that_was_cut_off_says_so() {
        let block = encode([(&b"key"[..], Some(&b"row"[..]))]);
        for length in 2..block.len() {
            let mut entries = decode(&block[..length]).unwrap();
            assert!(matches!(entries.next(), Some(Err(StoreError::Damaged(_)))), "{length}");
            assert!(entries.next().is_none());
        }
    }
}
