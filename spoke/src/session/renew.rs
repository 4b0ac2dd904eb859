//! Renewal: a new key proves itself by the old one, also when the old
//! certificate has expired, so that nobody has to walk to a cluster that was
//! away. The new key is stored before it is shown: a lost answer is asked for
//! again with the same counter and key.

use std::sync::Arc;

use rimward_proto::limits;
use rimward_proto::wire::RenewRequest;
use rimward_proto::wire::enrolment_client::EnrolmentClient;

use super::dial::Dialer;
use super::enrol::{EnrolError, chain};
use super::identity::{Identity, Pending, SecretPem};
use super::tls;
use crate::store::secret::SecretStore;

/// Renews `identity` at a hub that leads to `ca_bundle`; the result is stored. A key that an earlier try has shown is
/// shown again, because another one with the same counter would look like a cloned disk.
pub async fn renew(
    dialer: &Dialer,
    ca_bundle: &str,
    identity: &Identity,
    secret: &SecretStore,
) -> Result<Identity, EnrolError> {
    let counter = identity.counter + 1;
    let pending = secret.pending().await.map_err(EnrolError::Store)?;
    let next = match pending.filter(|pending| pending.counter == counter) {
        Some(next) => next,
        None => {
            let next = Pending { key: SecretPem::generate().map_err(EnrolError::Identity)?, counter };
            secret.save_pending(&next).await.map_err(EnrolError::Store)?;
            next
        }
    };
    // Without a client certificate: the old one may have expired, and the proof is in the request.
    let tls = tls::trusting(ca_bundle, None).map_err(EnrolError::Tls)?;
    let channel = dialer.connect(Arc::new(tls)).await.map_err(EnrolError::Dial)?;
    let request = request(identity, &next)?;
    let mut client = EnrolmentClient::new(channel).max_decoding_message_size(limits::MESSAGE_BYTES);
    let answer =
        client.renew(request).await.map_err(|status| EnrolError::Refused(Box::new(status)))?.into_inner();
    let renewed = Identity { key: next.key, chain: chain(&answer)?, counter, ..identity.clone() };
    renewed.check().map_err(EnrolError::Identity)?;
    secret.save_identity(&renewed, None).await.map_err(EnrolError::Store)?;
    Ok(renewed)
}

fn request(identity: &Identity, next: &Pending) -> Result<RenewRequest, EnrolError> {
    let certificates = identity.certificates().map_err(EnrolError::Identity)?;
    let csr = next.key.csr().map_err(EnrolError::Identity)?;
    let signature = identity.key.sign_renewal(next.counter, &csr).map_err(EnrolError::Identity)?;
    Ok(RenewRequest { certificate: certificates[0].to_vec(), csr, counter: next.counter, signature })
}
