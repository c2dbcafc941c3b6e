//! Archives that nobody of good will makes, each with what is said of it. Used by the tests of whole fleets too.

use tar::{Builder, EntryType, Header};

/// A manifest of a package `hostile@1.0.0` with these further lines.
pub(crate) fn manifest(more: &str) -> String {
    format!(
        "format = 1\nname = \"hostile\"\nversion = \"1.0.0\"\ndescription = \"d\"\nlicence = \"Apache-2.0\"\n{more}\n"
    )
}

fn good() -> String {
    manifest("modules = [\"m\"]")
}

/// A tar of these entries, in order; nothing is checked.
pub(crate) fn tar(entries: &[(&[u8], EntryType, &[u8])]) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    for (path, kind, bytes) in entries {
        let mut header = Header::new_ustar();
        header.as_old_mut().name[..path.len()].copy_from_slice(path);
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        header.set_entry_type(*kind);
        if *kind == EntryType::Symlink || *kind == EntryType::Link {
            header.as_old_mut().linkname[..11].copy_from_slice(b"/etc/passwd");
        }
        header.set_cksum();
        builder.append(&header, *bytes).unwrap();
    }
    builder.into_inner().unwrap()
}

/// With a header that lies about its size.
fn lying(size: u64) -> Vec<u8> {
    let mut bytes = tar(&[(b"package.toml", EntryType::Regular, good().as_bytes())]);
    let header = Header::from_byte_slice(&bytes[..512]).clone();
    let mut lie = header;
    lie.set_size(size);
    lie.set_cksum();
    bytes[..512].copy_from_slice(lie.as_bytes());
    bytes
}

/// Each: what it is, its bytes, and a part of what is said of it.
pub(crate) fn archives() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    const FILE: EntryType = EntryType::Regular;
    const MANIFEST: &[u8] = b"package.toml";
    const MODULE: &[u8] = b"modules/m.luau";
    let good = good();
    let good = good.as_bytes();
    let with = |path: &[u8], kind, bytes: &[u8]| tar(&[(MANIFEST, FILE, good), (path, kind, bytes)]);
    let only = |text: &str| tar(&[(MANIFEST, FILE, text.as_bytes())]);
    let many: String = (0..33).map(|number| format!("\"m{number}\",")).collect();
    let construct = "[[constructs]]\nname = \"c\"\nlength_aa = 10\nsource = \"s\"\n[sources]\ns = \"t\"\n";
    let wp = |value: &str| {
        manifest(&construct.replace("source =", &format!("transcription_per_min = {value}\nsource =")))
    };
    vec![
        ("nothing", Vec::new(), "no package.toml"),
        ("no tar", b"PK\x03\x04 a zip, perhaps, but no tar".repeat(40), "cannot be read as a tar"),
        ("too many bytes", vec![0; 256 * 1024 + 1], "at most 262144"),
        ("a path upwards", with(b"../../evil.luau", FILE, b"return {}"), "has no place"),
        ("a path upwards inside", with(b"modules/../m.luau", FILE, b"return {}"), "has no place"),
        ("an absolute path", with(b"/etc/cron.d/m", FILE, b"x"), "has no place"),
        ("a link to a file", with(MODULE, EntryType::Symlink, b""), "is no plain file"),
        ("a hard link", with(MODULE, EntryType::Link, b""), "is no plain file"),
        ("a device", with(MODULE, EntryType::Block, b""), "is no plain file"),
        ("a sparse file", with(MODULE, EntryType::GNUSparse, b""), "is no plain file"),
        ("an extended header", with(MODULE, EntryType::XHeader, b"11 path=m\n"), "is no plain file"),
        (
            "a long name",
            with(b"././@LongLink", EntryType::GNULongName, b"modules/m.luau\0"),
            "is no plain file",
        ),
        ("a folder", with(b"modules/", EntryType::Directory, b""), "is no plain file"),
        ("a bomb", lying(8 << 30), "is too long"),
        ("an end too early", lying(40_000), "cut off"),
        ("two manifests", with(MANIFEST, FILE, good), "twice"),
        ("a module twice", tar(&[(MODULE, FILE, b"return {}"), (MODULE, FILE, b"")]), "twice"),
        ("a name that is no text", with(b"modules/\xff.luau", FILE, b""), "no UTF-8"),
        ("a source that is no text", with(MODULE, FILE, b"return '\xff'"), "no UTF-8 text"),
        ("compiled code", with(MODULE, FILE, b"\x06code"), "compiled"),
        ("a module too long", with(MODULE, FILE, &vec![b' '; 65_537]), "is too long"),
        ("a module that is missing", only(&manifest("modules = [\"m\"]")), "is not there"),
        ("a module that is not listed", with(b"modules/n.luau", FILE, b"return {}"), "is not there"),
        ("another name for a module", with(b"modules/N.luau", FILE, b""), "has no place"),
        ("too many modules", only(&manifest(&format!("modules = [{many}]"))), "33 modules"),
        ("a manifest that is no TOML", only("format = 1\nname = "), "no TOML"),
        ("a field nobody knows", only(&manifest("module = [\"m\"]")), "module"),
        ("another format", only(&good_of_format(2)), "format is 2"),
        ("a name that is a path", only(&manifest("").replace("hostile", "../hostile")), "is not valid"),
        ("a version that is none", only(&manifest("").replace("1.0.0", "1.0")), "is not valid"),
        ("nothing in it", only(&manifest("")), "holds nothing"),
        (
            "a chassis that nobody knows",
            only(&manifest("modules = []\nchassis = [\"e.coli\"]")),
            "no chassis",
        ),
        ("a load below nothing", only(&wp("-1")), "expected a number from 0"),
        ("a load without end", only(&wp("inf")), "transcription_per_min"),
        ("a load that is no number", only(&wp("nan")), "transcription_per_min"),
        ("a load beyond any cell", only(&wp("1e6")), "expected a number from 0"),
        ("a figure without a source", only(&wp("1").replace("s = \"t\"", "u = \"t\"")), "there is no source"),
        (
            "a construct on a plasmid that is not there",
            only(&wp("1").replace("length_aa", "plasmid = \"p\"\nlength_aa")),
            "there is no plasmid",
        ),
    ]
}

fn good_of_format(format: u64) -> String {
    good().replace("format = 1", &format!("format = {format}"))
}
