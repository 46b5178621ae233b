//! Tells what has changed as Kubernetes' events. They may be lost; what counts stands in the conditions.

use crate::act;
use crate::names;
use crate::plan::Plan;
use crate::reason::Weight;
use crate::status::News;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use tracing::warn;

pub struct Teller(Recorder);

impl Teller {
    pub fn new(client: Client, identity: &str) -> Teller {
        let reporter =
            Reporter { controller: names::FIELD_MANAGER.to_owned(), instance: Some(identity.to_owned()) };
        Teller(Recorder::new(client, reporter))
    }

    /// The one error is that the plan's namespace is being deleted.
    pub async fn publish(&self, plan: &Plan, news: &[News]) -> Result<(), act::Error> {
        for news in news {
            match self.0.publish(&event(news), &reference(plan)).await.map_err(act::Error::from) {
                Err(act::Error::NamespaceGoing) => return Err(act::Error::NamespaceGoing),
                Err(error) => warn!(plan = %plan.key, %error, "an event could not be published"),
                Ok(()) => {}
            }
        }
        Ok(())
    }
}

fn event(news: &News) -> Event {
    let type_ = match news.reason.weight() {
        Weight::Normal => EventType::Normal,
        Weight::Warning => EventType::Warning,
    };
    Event {
        type_,
        reason: news.reason.as_str().to_owned(),
        note: Some(news.reason.note().to_owned()),
        action: news.condition.to_owned(),
        secondary: None,
    }
}

fn reference(plan: &Plan) -> ObjectReference {
    ObjectReference {
        api_version: Some(names::API_VERSION.to_owned()),
        kind: Some(names::KIND.to_owned()),
        name: Some(plan.key.name.clone()),
        namespace: Some(plan.key.namespace.clone()),
        uid: Some(plan.uid.clone()),
        ..ObjectReference::default()
    }
}
