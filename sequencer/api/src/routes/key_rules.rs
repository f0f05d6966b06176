//! Rotation policies, encryption groups and the signed key directory (section 3.10, ours).

use stateset_sequencer::Action;
use ves_wire::policies::{
    AddMemberRequest, CreateGroupRequest, GroupList, GroupWithKeys, RotationPolicyBody, RotationPolicyList,
};

use super::Routes;
use crate::openapi::operation::{Operation, delete, get, one_of, post, put, uuid};
use crate::openapi::schemas;
use crate::{directory, groups, policies};

pub(crate) fn routes() -> Routes {
    rotation().merge(recipients()).add(
        of_tenant(get("/api/v1/agents/{agent_id}/keys", "getKeyDirectory", "All keys of an agent, signed"))
            .tag("keys")
            .reads()
            .segment("agent_id", uuid(), "The agent")
            .query("store_id", uuid(), "The stream whose head is named")
            .answers_named("SignedKeyDirectory", schemas::key_directory())
            .compressed(),
        directory::get,
    )
}

fn rotation() -> Routes {
    let path = "/api/v1/agents/keys/policies";
    Routes::default()
        .add(
            of_tenant(get(path, "listRotationPolicies", "How long and how often keys may be used"))
                .tag("keys")
                .administers()
                .answers::<RotationPolicyList>()
                .compressed(),
            policies::list,
        )
        .add(
            put(path, "putRotationPolicy", "Set the policy of a tenant, an agent or a type of keys")
                .tag("keys")
                .administers()
                .body::<RotationPolicyBody>()
                .records(&[Action::RotationPolicySet])
                .answers::<RotationPolicyBody>()
                .refuses([429]),
            policies::put,
        )
        .add(
            of_tenant(delete(path, "deleteRotationPolicy", "Remove the policy of exactly this scope"))
                .tag("keys")
                .administers()
                .records(&[Action::RotationPolicyRemoved])
                .query("agent_id", uuid(), "The agent that the policy binds")
                .query("key_type", one_of(&["signing", "encryption"]), "The type of keys that it binds")
                .answers_object()
                .refuses([404]),
            policies::remove,
        )
}

fn recipients() -> Routes {
    let (all, one) = ("/api/v1/encryption-groups", "/api/v1/encryption-groups/{group_id}");
    Routes::default()
        .add(
            of_tenant(get(all, "listEncryptionGroups", "Groups of recipients"))
                .tag("groups")
                .reads()
                .answers::<GroupList>()
                .compressed(),
            groups::list,
        )
        .add(
            post(all, "createEncryptionGroup", "A new group of recipients")
                .tag("groups")
                .administers()
                .body::<CreateGroupRequest>()
                .records(&[Action::EncryptionGroupCreated])
                .answers::<GroupWithKeys>()
                .refuses([409]),
            groups::create,
        )
        .add(
            of_tenant(group(get(one, "getEncryptionGroup", "A group with its members' current keys")))
                .reads()
                .answers::<GroupWithKeys>()
                .compressed(),
            groups::get,
        )
        .add(
            of_tenant(group(delete(one, "deleteEncryptionGroup", "Remove a group")))
                .administers()
                .records(&[Action::EncryptionGroupDeleted])
                .answers_object(),
            groups::delete,
        )
        .add(
            group(post("/api/v1/encryption-groups/{group_id}/members", "addGroupMember", "Add a member"))
                .administers()
                .body::<AddMemberRequest>()
                .records(&[Action::EncryptionGroupMemberAdded])
                .answers::<GroupWithKeys>()
                .refuses([409]),
            groups::add,
        )
        .add(
            of_tenant(group(delete(
                "/api/v1/encryption-groups/{group_id}/members/{agent_id}",
                "removeGroupMember",
                "Remove a member",
            )))
            .administers()
            .segment("agent_id", uuid(), "The member")
            .records(&[Action::EncryptionGroupMemberRemoved])
            .answers::<GroupWithKeys>(),
            groups::remove,
        )
}

fn of_tenant(operation: Operation) -> Operation {
    operation.query("tenant_id", uuid(), "The caller's own when left out")
}

fn group(operation: Operation) -> Operation {
    operation.tag("groups").segment("group_id", uuid(), "The group").refuses([404])
}
