//! The packs that come with the program. Each is parsed once in a process.

use std::sync::OnceLock;

use super::{Pack, PackTexts};
use crate::chassis::ChassisName;

const WEISSE2015: PackTexts<'_> = PackTexts {
    sheet: include_str!("../../../packs/weisse2015/pack.toml"),
    genes: None,
    operons: None,
    plasmids: None,
};
const ECOLI: PackTexts<'_> = PackTexts {
    sheet: include_str!("../../../packs/ecoli/pack.toml"),
    genes: None,
    operons: Some(include_str!("../../../packs/ecoli/operons.tsv")),
    plasmids: Some(include_str!("../../../packs/ecoli/plasmids.tsv")),
};
const SYN3A: PackTexts<'_> = PackTexts {
    sheet: include_str!("../../../packs/syn3a/pack.toml"),
    genes: Some(include_str!("../../../packs/syn3a/genes.tsv")),
    operons: None,
    plasmids: None,
};
const MINIMAL_CELL: PackTexts<'_> = PackTexts {
    sheet: include_str!("../../../packs/minimal_cell/pack.toml"),
    genes: None,
    operons: None,
    plasmids: None,
};

/// The pack of a chassis, an imported one's included.
pub(crate) fn pack(name: ChassisName) -> &'static Pack {
    static PACKS: [OnceLock<Pack>; 4] = [const { OnceLock::new() }; 4];
    let (place, texts) = match name {
        ChassisName::Syn3a => (0, SYN3A),
        ChassisName::Ecoli => (1, ECOLI),
        ChassisName::MinimalCell => (2, MINIMAL_CELL),
        ChassisName::Weisse2015 => (3, WEISSE2015),
        ChassisName::Imported(imported) => return imported.pack(),
    };
    #[expect(clippy::expect_used, reason = "constant texts: a test parses each")]
    PACKS[place].get_or_init(|| Pack::parse(texts).expect("a pack that comes with the program"))
}
