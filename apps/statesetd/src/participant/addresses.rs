//! The address book of the nodes of this machine: where other members' nodes and the notaries' capsule stores are found.
//!
//! The ledger has no addresses, so a company writes down those that it was told, in `peers.json`. An address is believed in
//! nothing: whoever answers there has to show the certificate of the member that is meant (network.md 8.1).

use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLock};

use stateset_ledger_types::entity::Role;
use stateset_ledger_types::ids::EntityId;
use stateset_node_client::files::PeersFile;
use stateset_peer::Members as _;

use super::ProvenMembers;
use crate::genesis::now;

/// Where members' nodes are, as the nodes of this process know it.
#[derive(Debug, Default)]
pub struct AddressBook(RwLock<BTreeMap<EntityId, String>>);

impl AddressBook {
    pub fn all(&self) -> Vec<(EntityId, String)> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        known.iter().map(|(entity, address)| (*entity, address.clone())).collect()
    }

    /// Those that the ledger has as notaries now: they store capsules.
    pub fn notaries(&self, members: &ProvenMembers) -> Vec<EntityId> {
        let is_notary = |id: &EntityId| {
            let found = members.entity(id);
            found.is_some_and(|entity| entity.is_active(now()) && entity.roles.has(Role::Notary))
        };
        self.all().into_iter().map(|(entity, _)| entity).filter(is_notary).collect()
    }

    pub fn set(&self, entity: EntityId, address: String) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(entity, address);
    }

    /// Takes over what is written in the file now, given what was taken from it before. Returns what has changed; an address
    /// that was taken out of the file is empty.
    pub fn follow(&self, before: &PeersFile, file: &PeersFile) -> Vec<(EntityId, String)> {
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let mut changed = Vec::new();
        for gone in
            before.peers.iter().filter(|one| !file.peers.iter().any(|new| new.entity_id == one.entity_id))
        {
            known.remove(&gone.entity_id);
            changed.push((gone.entity_id, String::new()));
        }
        for entry in &file.peers {
            if known.get(&entry.entity_id) != Some(&entry.address) {
                known.insert(entry.entity_id, entry.address.clone());
                changed.push((entry.entity_id, entry.address.clone()));
            }
        }
        changed
    }
}

#[cfg(test)]
mod tests {
    use stateset_node_client::files::Address;

    use super::*;

    fn entry(name: &str, id: u8, address: &str) -> Address {
        Address { name: name.to_owned(), entity_id: EntityId([id; 20]), address: address.to_owned() }
    }

    #[test]
    fn the_book_follows_the_file_and_keeps_what_others_wrote() {
        let (book, empty) = (AddressBook::default(), PeersFile::default());
        book.set(EntityId([9; 20]), "own:9".to_owned());
        let mut first = PeersFile::default();
        first.set(entry("globex", 1, "a:1"));
        first.set(entry("bank", 2, "b:2"));
        assert_eq!(book.follow(&empty, &first).len(), 2);
        assert_eq!(book.follow(&first, &first), []);
        let mut second = first.clone();
        second.set(entry("globex", 1, "a:3"));
        second.peers.retain(|one| one.name != "bank");
        assert_eq!(
            book.follow(&first, &second),
            [(EntityId([2; 20]), String::new()), (EntityId([1; 20]), "a:3".to_owned())]
        );
        assert_eq!(
            book.all(),
            [(EntityId([1; 20]), "a:3".to_owned()), (EntityId([9; 20]), "own:9".to_owned())]
        );
    }

    #[test]
    fn a_name_and_an_id_stand_once() {
        let mut file = PeersFile::default();
        file.set(entry("globex", 1, "a:1"));
        file.set(entry("globex", 2, "b:1"));
        file.set(entry("initech", 2, "c:1"));
        assert_eq!(file.peers, [entry("initech", 2, "c:1")]);
        assert_eq!((file.named("initech").is_some(), file.named("globex")), (true, None));
    }
}
