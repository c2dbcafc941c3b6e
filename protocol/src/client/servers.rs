//! Addresses of NATS servers as people give them.

/// The addresses in a list with commas: of one cluster, any of which will do.
pub fn servers(urls: &str) -> Vec<&str> {
    urls.split(',').map(str::trim).filter(|url| !url.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_may_have_one_address_or_several() {
        assert_eq!(servers("nats://a:1"), ["nats://a:1"]);
        assert_eq!(servers("nats://a:1, nats://b:2,"), ["nats://a:1", "nats://b:2"]);
    }
}
