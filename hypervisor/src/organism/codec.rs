//! The organism's part of a checkpoint. Every place, count and number is checked against the pack when it is read.

use std::collections::BTreeMap;

use super::action::{MAX_ACTIONS, MAX_NAME_BYTES, MAX_NAMES, OperonAction, OrganismAction};
use super::expression::Expression;
use super::package::{Carried, MAX_PACKAGE_PLASMIDS, MAX_PACKAGES, PackageParts, PackagePlasmid};
use super::state::{Followed, OrganismState, Regulation};
use crate::checkpoint::{CheckpointError, Reader, Writer, content};
use crate::spec::Regime;

const OPERON_ACTIONS: [OperonAction; 3] =
    [OperonAction::Activate, OperonAction::Repress, OperonAction::Derepress];

impl Writer {
    pub(crate) fn organism(&mut self, organism: Option<&OrganismState>) {
        let empty = OrganismState::default();
        let organism = organism.unwrap_or(&empty);
        for followed in [&organism.operons, &organism.genes] {
            self.count(followed.len());
            for (at, one) in followed {
                self.count(*at);
                self.byte(one.regulation as u8);
                self.number(one.mrna);
                self.count(one.proteins.len());
                one.proteins.iter().for_each(|protein| self.number(*protein));
            }
        }
        self.count(organism.plasmids.len());
        for (at, copies) in &organism.plasmids {
            self.count(*at);
            self.number(*copies);
        }
        if !organism.packages.is_empty() {
            self.packages(&organism.packages);
        }
    }

    pub(crate) fn packages(&mut self, packages: &BTreeMap<String, Carried>) {
        self.count(packages.len());
        for (name, carried) in packages {
            self.name(name);
            self.number(carried.load_wp);
            self.count(carried.plasmids.len());
            for (plasmid, copies) in &carried.plasmids {
                self.package_plasmid(plasmid);
                self.number(*copies);
            }
        }
    }

    fn package_plasmid(&mut self, plasmid: &PackagePlasmid) {
        self.name(&plasmid.name);
        self.number(plasmid.k0_per_min);
        self.number(plasmid.half_copies);
        self.number(plasmid.wp_per_copy);
    }

    pub(crate) fn actions(&mut self, actions: &[OrganismAction]) {
        self.count(actions.len());
        for action in actions {
            match action {
                OrganismAction::Operons { operons, action } => {
                    self.byte(*action as u8);
                    self.names(operons);
                }
                OrganismAction::Transcription { genes } => {
                    self.byte(3);
                    self.names(genes);
                }
                OrganismAction::InsertPlasmid { plasmid } => {
                    self.byte(4);
                    self.names(std::slice::from_ref(plasmid));
                }
                OrganismAction::RemovePlasmid { plasmid } => {
                    self.byte(5);
                    self.names(std::slice::from_ref(plasmid));
                }
                OrganismAction::InstallPackage { package } => {
                    self.byte(6);
                    self.names(std::slice::from_ref(&package.name));
                    self.number(package.load_wp);
                    self.count(package.plasmids.len());
                    package.plasmids.iter().for_each(|plasmid| self.package_plasmid(plasmid));
                }
            }
        }
    }

    /// Counts are below 65,536: of names, actions, and places in a pack.
    fn count(&mut self, count: usize) {
        self.integer(count as u64);
    }

    fn names(&mut self, names: &[String]) {
        self.count(names.len());
        names.iter().for_each(|name| self.name(name));
    }

    fn name(&mut self, name: &str) {
        self.count(name.len());
        name.bytes().for_each(|byte| self.byte(byte));
    }
}

impl Reader<'_> {
    /// None where nothing was touched.
    pub(crate) fn organism(
        &mut self,
        regime: &Regime,
    ) -> Result<Option<Box<OrganismState>>, CheckpointError> {
        let pack = regime.chassis.pack();
        let genes = pack.gene_table.as_ref().map_or(0, |table| table.genes.len());
        let mut organism = OrganismState::default();
        for _ in 0..self.count(pack.operon_table.len())? {
            let at = self.place(organism.operons.keys().next_back(), pack.operon_table.len())?;
            let followed = self.followed(&Expression::of_operon(regime, at))?;
            organism.operons.insert(at, followed);
        }
        for _ in 0..self.count(genes)? {
            let at = self.place(organism.genes.keys().next_back(), genes)?;
            let followed = self.followed(&Expression::of_gene(regime, at))?;
            organism.genes.insert(at, followed);
        }
        for _ in 0..self.count(pack.plasmid_table.len())? {
            let at = self.place(organism.plasmids.keys().next_back(), pack.plasmid_table.len())?;
            let copies = self.amount()?;
            organism.plasmids.insert(at, copies);
        }
        if self.has_packages() {
            organism.packages = self.packages()?;
        }
        Ok((!organism.is_empty()).then(|| Box::new(organism)))
    }

    pub(crate) fn packages(&mut self) -> Result<BTreeMap<String, Carried>, CheckpointError> {
        let mut packages: BTreeMap<String, Carried> = BTreeMap::new();
        for _ in 0..self.count(MAX_PACKAGES)? {
            let name = self.name()?;
            let load_wp = self.amount()?;
            let mut carried = Carried { load_wp, plasmids: Vec::new() };
            for _ in 0..self.count(MAX_PACKAGE_PLASMIDS)? {
                let plasmid = self.package_plasmid()?;
                carried.plasmids.push((plasmid, self.amount()?));
            }
            let plasmids = carried.plasmids.iter().map(|(plasmid, _)| plasmid.clone()).collect();
            checked(PackageParts { name: name.clone(), load_wp, plasmids })?;
            if packages.last_key_value().is_some_and(|(last, _)| *last >= name) {
                return Err(content("the order of packages"));
            }
            packages.insert(name, carried);
        }
        Ok(packages)
    }

    fn package_plasmid(&mut self) -> Result<PackagePlasmid, CheckpointError> {
        Ok(PackagePlasmid {
            name: self.name()?,
            k0_per_min: self.amount()?,
            half_copies: self.amount()?,
            wp_per_copy: self.amount()?,
        })
    }

    pub(crate) fn actions(&mut self) -> Result<Vec<OrganismAction>, CheckpointError> {
        (0..self.count(MAX_ACTIONS)?).map(|_| self.action()).collect()
    }

    fn action(&mut self) -> Result<OrganismAction, CheckpointError> {
        let code = usize::from(self.byte()?);
        let mut names = self.names()?;
        if let Some(action) = OPERON_ACTIONS.get(code) {
            return Ok(OrganismAction::Operons { operons: names, action: *action });
        }
        if code == 3 {
            return Ok(OrganismAction::Transcription { genes: names });
        }
        match (code, names.pop(), names.is_empty()) {
            (6, Some(name), true) => {
                let load_wp = self.amount()?;
                let count = self.count(MAX_PACKAGE_PLASMIDS)?;
                let plasmids = (0..count).map(|_| self.package_plasmid()).collect::<Result<_, _>>()?;
                let package = checked(PackageParts { name, load_wp, plasmids })?;
                Ok(OrganismAction::InstallPackage { package })
            }
            (4, Some(plasmid), true) => Ok(OrganismAction::InsertPlasmid { plasmid }),
            (5, Some(plasmid), true) => Ok(OrganismAction::RemovePlasmid { plasmid }),
            _ => Err(content("an action")),
        }
    }

    fn followed(&mut self, expression: &Expression<'_>) -> Result<Followed, CheckpointError> {
        let regulation = Regulation::ALL.get(usize::from(self.byte()?)).copied();
        let regulation = regulation.ok_or_else(|| content("a regulation"))?;
        let mrna = self.amount()?;
        if self.count(MAX_NAMES)? != expression.proteins() {
            return Err(content("the number of proteins"));
        }
        let proteins = (0..expression.proteins()).map(|_| self.amount()).collect::<Result<_, _>>()?;
        Ok(Followed { regulation, mrna, proteins })
    }

    fn names(&mut self) -> Result<Vec<String>, CheckpointError> {
        (0..self.count(MAX_NAMES)?).map(|_| self.name()).collect()
    }

    fn name(&mut self) -> Result<String, CheckpointError> {
        let length = self.count(MAX_NAME_BYTES)?;
        let bytes = (0..length).map(|_| self.byte()).collect::<Result<Vec<u8>, _>>()?;
        String::from_utf8(bytes).map_err(|_| content("a name"))
    }

    fn count(&mut self, most: usize) -> Result<usize, CheckpointError> {
        let count = self.small("a count of the organism")? as usize;
        if count <= most { Ok(count) } else { Err(content("a count of the organism")) }
    }

    /// A place in a table of `count`, behind the last one read.
    fn place(&mut self, last: Option<&usize>, count: usize) -> Result<usize, CheckpointError> {
        let at = self.small("a place in the pack")? as usize;
        if at < count && last.is_none_or(|last| at > *last) {
            Ok(at)
        } else {
            Err(content("a place in the pack"))
        }
    }

    fn amount(&mut self) -> Result<f64, CheckpointError> {
        let amount = self.number("a number of copies")?;
        if (0.0..=1e15).contains(&amount) { Ok(amount) } else { Err(content("a number of copies")) }
    }
}

fn checked(package: PackageParts) -> Result<PackageParts, CheckpointError> {
    package.check().map_err(|_| content("a package"))?;
    Ok(package)
}
