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

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory record: where, how long, its name, what follows it.
    fn record(sector: u32, bytes: u32, flags: u8, name: &[u8], rest: &[u8]) -> Vec<u8> {
        let mut record = vec![0; 33];
        record[2..6].copy_from_slice(&sector.to_le_bytes());
        record[10..14].copy_from_slice(&bytes.to_le_bytes());
        record[25] = flags;
        record[32] = u8::try_from(name.len()).expect("a short name");
        record.extend(name);
        record.extend(vec![0; (name.len() + 1) % 2]);
        record.extend(rest);
        record[0] = u8::try_from(record.len()).expect("a short record");
        record
    }

    /// An image with one file in sector 20; the root is in sector 19.
    fn image(label: &str, joliet: bool) -> Vec<u8> {
        let text = b"#cloud-config\n";
        let mut image = vec![0; 21 * SECTOR_BYTES];
        let mut put = |sector: usize, at: usize, bytes: &[u8]| {
            let start = sector * SECTOR_BYTES + at;
            image[start..start + bytes.len()].copy_from_slice(bytes);
        };
        let kinds = if joliet { vec![(16, PRIMARY), (17, SUPPLEMENTARY)] } else { vec![(16, PRIMARY)] };
        for (sector, kind) in kinds {
            put(sector, 0, &[&[kind], b"CD001".as_slice()].concat());
            put(sector, 40, format!("{label:<32}").as_bytes());
            put(sector, 156, &record(19, 2048, DIRECTORY, &[0], &[]));
        }
        put(17, 88, if joliet { b"%/E" } else { b"\0\0\0" });
        let wide: Vec<u8> = "user-data".encode_utf16().flat_map(u16::to_be_bytes).collect();
        let nm = [b"NM\x0e\x01\0".as_slice(), b"user-data"].concat();
        let file =
            if joliet { record(20, 14, 0, &wide, &[]) } else { record(20, 14, 0, b"USERDATA.;1", &nm) };
        put(19, 0, &[record(19, 2048, DIRECTORY, &[0], &[]), file].concat());
        put(20, 0, text);
        image
    }

    #[test]
    fn names_are_joliet_s_or_rock_ridge_s_and_the_label_must_be_right() {
        for joliet in [true, false] {
            let files = files(&image("CIDATA", joliet)).expect("a drive");
            assert_eq!(files.get("user-data").map(Vec::as_slice), Some(b"#cloud-config\n".as_slice()));
        }
        assert_eq!(files(&image("OTHER", true)), None);
        assert_eq!(files(b"no image"), None);
    }
}
