//! The names nearest to one that does not exist, for errors that help. It decides nothing.

/// How many names an error offers.
pub const NEAREST: usize = 5;

/// The [`NEAREST`] of `known` that need the fewest edits to become `name`, letter case aside; equally near ones in
/// alphabetical order.
#[must_use]
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let wanted = name.to_lowercase();
    let mut ranked: Vec<(usize, &str)> = known
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&wanted, &candidate.to_lowercase()), candidate))
        .collect();
    ranked.sort_unstable();
    ranked.dedup();
    ranked.into_iter().take(NEAREST).map(|(_, candidate)| candidate.to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_come_first_and_are_at_most_five() {
        let known = ["dnaA", "dnaN", "ftsZ", "rpoB", "rpsA", "rplB", "tuf"];
        assert_eq!(nearest("dnaa", known)[0], "dnaA");
        assert_eq!(nearest("dnaX", known)[..2], ["dnaA", "dnaN"]);
        assert_eq!(nearest("", known).len(), NEAREST);
        assert!(nearest("dnaA", []).is_empty());
    }
}
