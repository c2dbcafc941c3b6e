//! Measurements as lines: median, lowest and highest, and how many times the peer's speed ours is.

/// What a round's time is told as.
pub(crate) enum Unit {
    /// So many events in a round, as a rate.
    Events(f64),
    /// So many runs in a round, as the time of one.
    Runs(f64),
}

/// One simulator and the seconds of its rounds.
pub(crate) struct Peer {
    name: &'static str,
    /// How many times its speed we want to reach.
    reach: Option<f64>,
    seconds: Vec<f64>,
}

impl Peer {
    pub(crate) fn new(name: &'static str, reach: Option<f64>) -> Self {
        Self { name, reach, seconds: Vec::new() }
    }

    pub(crate) fn push(&mut self, seconds: f64) {
        self.seconds.push(seconds);
    }
}

/// A line for us and for each peer that was measured.
pub(crate) fn print(unit: &Unit, ours: &Peer, peers: &[Peer]) {
    println!("  {:<46} {}", ours.name, unit.figure(&ours.seconds));
    for peer in peers.iter().filter(|peer| !peer.seconds.is_empty()) {
        let ratios: Vec<f64> =
            peer.seconds.iter().zip(&ours.seconds).map(|(theirs, ours)| theirs / ours).collect();
        let [low, median, high] = spread(&ratios);
        let reach = peer.reach.map_or(String::new(), |reach| {
            format!("; reach {reach}: {}", if median >= reach { "held" } else { "MISSED" })
        });
        println!(
            "  {:<46} {}   ours is {median:.2} times as fast ({low:.2}..{high:.2}){reach}",
            peer.name,
            unit.figure(&peer.seconds)
        );
    }
}

impl Unit {
    fn figure(&self, seconds: &[f64]) -> String {
        match self {
            Self::Events(events) => {
                let rates: Vec<f64> = seconds.iter().map(|seconds| events / seconds / 1e6).collect();
                let [low, median, high] = spread(&rates);
                format!("{median:6.2} million events/s ({low:.2}..{high:.2})")
            }
            Self::Runs(runs) => {
                let times: Vec<f64> = seconds.iter().map(|seconds| seconds / runs * 1e3).collect();
                let [low, median, high] = spread(&times);
                format!("{median:6.3} ms ({low:.3}..{high:.3})")
            }
        }
    }
}

/// Lowest, median, highest.
fn spread(values: &[f64]) -> [f64; 3] {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    [values[0], values[values.len() / 2], values[values.len() - 1]]
}
