//! The files at the top of an ISO 9660 image, by the names that Joliet or Rock Ridge give them: plain ISO names cannot
//! have a dash in lower case, so an image without either is no NoCloud drive.

use std::collections::BTreeMap;

use super::image::LABEL;

const SECTOR_BYTES: usize = 2048;
const FIRST_DESCRIPTOR: usize = 16;
const DESCRIPTORS_MOST: usize = 16;
const PRIMARY: u8 = 1;
const SUPPLEMENTARY: u8 = 2;
const DIRECTORY: u8 = 2;

/// The files, if it is such an image with the label.
pub(super) fn files(image: &[u8]) -> Option<BTreeMap<String, Vec<u8>>> {
    let descriptors = (FIRST_DESCRIPTOR..FIRST_DESCRIPTOR + DESCRIPTORS_MOST)
        .filter_map(|sector| image.get(sector * SECTOR_BYTES..(sector + 1) * SECTOR_BYTES))
        .take_while(|descriptor| descriptor.get(1..6) == Some(b"CD001"));
    let mut primary = None;
    let mut joliet = None;
    for descriptor in descriptors {
        match descriptor.first().copied() {
            Some(PRIMARY) => primary = Some(descriptor),
            Some(SUPPLEMENTARY) if descriptor.get(88..90) == Some(b"%/") => joliet = Some(descriptor),
            _ => {}
        }
    }
    let label = String::from_utf8_lossy(primary?.get(40..72)?).trim().to_owned();
    if !label.eq_ignore_ascii_case(LABEL) {
        return None;
    }
    match joliet {
        Some(descriptor) => top(image, descriptor, |record| Some(wide(record.get(33..)?, record))),
        None => top(image, primary?, rock_ridge),
    }
}

/// The files of the directory that `descriptor` names as root.
fn top(
    image: &[u8],
    descriptor: &[u8],
    name_of: impl Fn(&[u8]) -> Option<String>,
) -> Option<BTreeMap<String, Vec<u8>>> {
    let mut rest = extent(image, descriptor.get(156..190)?)?;
    let mut files = BTreeMap::new();
    while let Some(&length) = rest.first() {
        let length = usize::from(length);
        if length == 0 {
            // Records do not cross sectors; small directories have one.
            break;
        }
        let record = rest.get(..length)?;
        let is_file = record.get(25)? & DIRECTORY == 0;
        if is_file && let Some(name) = name_of(record) {
            files.insert(name, extent(image, record)?.to_vec());
        }
        rest = rest.get(length..)?;
    }
    Some(files)
}

/// The bytes that a directory record stands for.
fn extent<'a>(image: &'a [u8], record: &[u8]) -> Option<&'a [u8]> {
    let number = |at: usize| {
        let bytes: [u8; 4] = record.get(at..at + 4)?.try_into().ok()?;
        usize::try_from(u32::from_le_bytes(bytes)).ok()
    };
    let start = number(2)?.checked_mul(SECTOR_BYTES)?;
    image.get(start..start.checked_add(number(10)?)?)
}

/// A Joliet name: UCS-2, big-endian, perhaps with a version.
fn wide(name: &[u8], record: &[u8]) -> String {
    let bytes = name.get(..usize::from(record.get(32).copied().unwrap_or(0))).unwrap_or_default();
    let units: Vec<_> = bytes.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect();
    let name = String::from_utf16_lossy(&units);
    name.split_once(';').map_or(name.clone(), |(name, _)| name.to_owned())
}

/// The name in a record's NM entries.
fn rock_ridge(record: &[u8]) -> Option<String> {
    let name_bytes = usize::from(*record.get(32)?);
    let mut rest = record.get(33 + name_bytes + (name_bytes + 1) % 2..)?;
    let mut name = String::new();
    while let [kind_a, kind_b, length, _, ..] = rest {
        let entry = rest.get(..usize::from(*length).max(4))?;
        if (*kind_a, *kind_b) == (b'N', b'M') {
            name.push_str(&String::from_utf8_lossy(entry.get(5..)?));
        }
        rest = rest.get(entry.len()..)?;
    }
    (!name.is_empty()).then_some(name)
}
