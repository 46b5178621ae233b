//! The ServiceAccount that a pod runs as, as its token says it.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use serde_json::Value;

/// Where Kubernetes mounts the token.
pub const TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";

/// The account as the owner of an object in this namespace; `None`: the token does not say it, or the account is of
/// another namespace. The API server verifies the token, not this.
pub fn owner(token: &str, namespace: &str) -> Option<OwnerReference> {
    let claims = URL_SAFE_NO_PAD.decode(token.trim().split('.').nth(1)?).ok()?;
    let claims: Value = serde_json::from_slice(&claims).ok()?;
    let of = &claims["kubernetes.io"];
    let account = &of["serviceaccount"];
    (of["namespace"] == namespace).then_some(())?;
    Some(OwnerReference {
        api_version: "v1".to_owned(),
        kind: "ServiceAccount".to_owned(),
        name: account["name"].as_str()?.to_owned(),
        uid: account["uid"].as_str()?.to_owned(),
        ..OwnerReference::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_token_names_its_account() {
        let token = |claims: &Value| format!("e30.{}.c2ln\n", URL_SAFE_NO_PAD.encode(claims.to_string()));
        let account = json!({"name": "shoal-operator", "uid": "u-1"});
        let bound =
            token(&json!({"kubernetes.io": {"namespace": "shoal-system", "serviceaccount": account}}));
        let found = owner(&bound, "shoal-system").unwrap();
        assert_eq!(
            (found.kind, found.name, found.uid),
            ("ServiceAccount".into(), "shoal-operator".into(), "u-1".into())
        );
        assert_eq!(owner(&bound, "elsewhere"), None);
        let legacy = token(&json!({"kubernetes.io/serviceaccount/service-account.name": "shoal-operator"}));
        for other in [legacy.as_str(), "", "a.b.c", "e30.e30.c2ln"] {
            assert_eq!(owner(other, "shoal-system"), None, "{other}");
        }
    }
}
