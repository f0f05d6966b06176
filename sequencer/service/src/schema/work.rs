//! How often a schema may look at one value.
//!
//! A schema can be small and yet exponential: two references to the same subschema in each of thirty levels look at
//! one value 2^30 times. The bound follows every way that leads to a value, level by level of the payload.

use super::shape::{Node, Refused};

/// Steps for each value of a payload.
pub(super) const WORK_MAX: u64 = 1_024;

/// The greatest number of steps that any one value of a payload can cost, whatever the payload.
///
/// # Errors
/// Subschemas that lead back to themselves at the same value would never end.
pub(super) fn work_per_value(nodes: &[Node]) -> Result<u64, Refused> {
    let order = inner_first(nodes)?;
    // cost[n]: steps on a value `depth` levels below the one that node n is applied to.
    let mut cost = vec![0u64; nodes.len()];
    for &n in &order {
        let here = nodes[n].here.iter().map(|m| cost[*m]).fold(0, u64::saturating_add);
        cost[n] = nodes[n].weight.saturating_add(here);
    }
    let mut most = cost.first().copied().unwrap_or(0);
    for _ in 0..ves::json::DEPTH_MAX {
        let mut next = vec![0u64; nodes.len()];
        for &n in &order {
            let node = &nodes[n];
            let one = node.one_of_below.iter().map(|m| cost[*m]).max().unwrap_or(0);
            // Below the same value: one named or other member, every pattern, and what is applied beside.
            let every = node.all_below.iter().map(|m| cost[*m]);
            let all = every.chain(node.here.iter().map(|m| next[*m])).fold(0, u64::saturating_add);
            next[n] = one.saturating_add(all);
        }
        most = most.max(next.first().copied().unwrap_or(0));
        if next == cost || most > WORK_MAX {
            break;
        }
        cost = next;
    }
    Ok(most)
}

/// The nodes such that each comes after those that it applies to the same value.
fn inner_first(nodes: &[Node]) -> Result<Vec<usize>, Refused> {
    #[derive(Clone, Copy, PartialEq)]
    enum Seen {
        Not,
        Open,
        Done,
    }
    let mut seen = vec![Seen::Not; nodes.len()];
    let mut order = Vec::with_capacity(nodes.len());
    for first in 0..nodes.len() {
        let mut open = vec![(first, 0)];
        while let Some((n, next)) = open.pop() {
            if seen[n] == Seen::Done {
                continue;
            }
            if next == 0 && seen[n] == Seen::Open {
                return Err(Refused {
                    path: nodes[n].path.clone(),
                    problem: "it leads back to itself without going into a member or an element of the value"
                        .to_owned(),
                });
            }
            seen[n] = Seen::Open;
            match nodes[n].here.get(next) {
                Some(&inner) => {
                    open.push((n, next + 1));
                    open.push((inner, 0));
                }
                None => {
                    seen[n] = Seen::Done;
                    order.push(n);
                }
            }
        }
    }
    Ok(order)
}
