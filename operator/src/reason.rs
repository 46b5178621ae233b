//! Why a condition is as it is. The word is the condition's reason, the note an event's text: what changes from case to
//! case stands in conditions only, so that events of one kind are one event.

macro_rules! reasons {
    ($($name:ident $weight:ident $note:literal,)*) => {
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Reason {
            $(#[doc = $note] $name,)*
        }

        impl Reason {
            pub const ALL: &[Reason] = &[$(Reason::$name,)*];

            pub fn as_str(self) -> &'static str {
                match self {
                    $(Reason::$name => stringify!($name),)*
                }
            }

            pub fn note(self) -> &'static str {
                match self {
                    $(Reason::$name => $note,)*
                }
            }

            pub fn weight(self) -> Weight {
                match self {
                    $(Reason::$name => Weight::$weight,)*
                }
            }

            pub fn of(text: &str) -> Option<Reason> {
                Self::ALL.iter().copied().find(|reason| reason.as_str() == text)
            }
        }
    };
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weight {
    Normal,
    Warning,
}

reasons! {
    // Faults, the gravest first.
    NameTaken Warning "An object that Shoal has to make exists already and belongs to someone else.",
    VolumesOfAnotherPlan Warning "Volumes of these names were written by another plan. They are left as they are.",
    VolumesUnfit Warning "The volumes that the plan is to adopt do not fit it. They are left as they are, and nothing serves.",
    RingUnreadable Warning "The ring's ConfigMap cannot be read. It is left as it is.",
    RingMissing Warning "The ring's ConfigMap is missing, and cannot be written again yet.",
    RingOlder Warning "The ring's ConfigMap is older than the ring that was in force last. It is not used.",
    StoreExchanged Warning "A node's store is not the one that the ring names for this node. The operator gives the node neither the plan nor the ring.",
    RolledBack Warning "A node's store has gone back to an earlier state. The operator gives the node neither the plan nor the ring.",
    CertificatesUnusable Warning "The Secret of the plan's CA cannot be used. It is left as it is.",
    PodsWithoutCertificates Warning "Some pods were started by a version without certificates. They cannot connect to other nodes; delete them so that they start again.",
    PlanOlder Warning "Nodes have a newer generation of the plan than the API server.",
    NodeFails Warning "A node's container ends soon after each start.",
    ConfigurationRefused Warning "A node refuses the plan or the ring that it is given.",
    PartRefused Warning "The API server refuses an object of the plan.",
    PartChanged Warning "An object of the plan is changed in a field that only the operator sets.",
    // What is waited for.
    Paused Normal "The plan is paused: the operator changes nothing but its status.",
    LeftoversGoing Normal "Objects of the plan that had this name before are still being deleted.",
    NodesStarting Normal "Nodes are starting.",
    NodesSilent Warning "Nodes do not answer.",
    Configuring Normal "Nodes are given the plan and the ring.",
    CertificatesSpreading Normal "Nodes do not use the newest certificates yet.",
    NodesLoading Normal "Nodes are reading their stores.",
    PodsOutdated Normal "Pods run an older template; each takes the new one when someone deletes it.",
    // The plan.
    Accepted Normal "The plan is accepted.",
    InvalidPlan Warning "The plan is invalid. Nodes go on with the one before.",
    NotSupportedYet Warning "The plan uses a feature that is not supported yet; the nodes continue without it.",
    // How it is when nothing is wrong.
    Serving Normal "All slots have an owner that serves.",
    Settled Normal "Everything is as the plan says.",
    Blocked Warning "The operator cannot continue until the problem that the condition Stalled names is fixed.",
    Healthy Normal "Nothing is wrong.",
    Managed Normal "The operator acts on the plan.",
    Adjusted Normal "Others have set fields of the plan's objects; they are left so.",
    CrdOlder Warning "The CRD is older than this operator: fields of a plan's status that it lacks are left out. Apply the newest CRD: helm upgrade the release that has it (value crd.install), or kubectl apply --server-side --force-conflicts -f crds/agentplans.yaml",
    AnotherOperator Normal "Several operators look after the plan's namespace. One of them runs the plan.",
    AsApplied Normal "The plan's objects are as the operator applies them.",
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_is_explained_in_the_operators_document() {
        let text = include_str!("../docs/operator.md");
        for reason in Reason::ALL {
            assert!(text.contains(&format!("`{}`", reason.as_str())), "{} is not explained", reason.as_str());
        }
    }
}
