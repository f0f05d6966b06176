//! The table of tools and the projections' table say the same, though neither names the other.

use stateset_mcp::{Argument, EntityId, Kind, Need, TOOLS, Tool, Work};
use stateset_projection::{Field, Kind as FieldKind, MACHINES, Need as FieldNeed, Transition, machine};

fn tools() -> impl Iterator<Item = &'static Tool> {
    TOOLS.iter().flat_map(|group| group.iter())
}

/// Every tool that writes an event, with the row that judges the event.
fn writes() -> Vec<(&'static Tool, EntityId, &'static Transition)> {
    let write = |tool: &'static Tool| match tool.work {
        Work::Event { entity, event, id, .. } => {
            let machine = machine(entity).unwrap_or_else(|| panic!("{}: no machine of {entity}", tool.name));
            assert!(!machine.is_own_only, "{}: nobody but the sequencer writes to {entity}", tool.name);
            let row =
                machine.transition(event).unwrap_or_else(|| panic!("{}: nothing judges {event}", tool.name));
            Some((tool, id, row))
        }
        _ => None,
    };
    tools().filter_map(write).collect()
}

fn argument<'a>(tool: &'a Tool, name: &str) -> Option<&'a Argument> {
    tool.arguments.iter().find(|argument| argument.name == name)
}

#[test]
fn every_event_of_a_tool_is_judged_by_a_machine() {
    assert!(writes().len() > 20);
}

#[test]
fn every_event_of_a_machine_that_others_write_has_a_tool() {
    for machine in MACHINES.iter().filter(|machine| !machine.is_own_only) {
        for row in machine.transitions {
            let tool = writes().into_iter().find(|(_, _, of_tool)| of_tool.event == row.event);
            assert!(tool.is_some(), "{} has no tool", row.event);
        }
    }
}

#[test]
fn what_an_event_needs_is_asked_for_and_of_its_kind() {
    for (tool, id, row) in writes() {
        for Field { name, kind, need, .. } in row.fields {
            let Some(argument) = argument(tool, name) else {
                assert!(*need != FieldNeed::Required, "{} does not ask for {name}", tool.name);
                continue;
            };
            assert!(
                !id.uses(name),
                "{}: {name} names the entity, so it never comes into the payload",
                tool.name
            );
            let is_required = *need == FieldNeed::Required;
            assert!(!is_required || argument.need == Need::Required, "{}: {name} is required", tool.name);
            let fits = match (kind, argument.kind) {
                (FieldKind::Text, Kind::Text { .. } | Kind::Id)
                | (FieldKind::Currency, Kind::Currency)
                | (FieldKind::Amount, Kind::Amount)
                | (FieldKind::Object, Kind::Object)
                | (FieldKind::Lines, Kind::Lines)
                | (FieldKind::Integer { min: i64::MIN }, Kind::Change) => true,
                (FieldKind::Integer { min }, Kind::Count { min: asked }) => asked >= *min,
                _ => false,
            };
            assert!(fits, "{}: {name} is {:?} here and {kind:?} there", tool.name, argument.kind);
        }
    }
}

#[test]
fn a_list_by_status_knows_the_states_of_its_machine() {
    for tool in tools() {
        let (Work::List { entity }, Some(argument)) = (tool.work, argument(tool, "status")) else { continue };
        let states = machine(entity).unwrap().states;
        assert_eq!(argument.kind, Kind::Choice(states), "{}", tool.name);
    }
}

#[test]
fn both_reckon_with_the_same_decimals() {
    for currency in ["USD", "EUR", "JPY", "KRW", "CLP", "KWD", "TND", "BHD", "USDC", "USDT", "SSUSD", "XYZ"] {
        assert_eq!(
            stateset_mcp::exponent_of(currency),
            stateset_projection::exponent_of(currency),
            "{currency}"
        );
    }
}
