//! Kafka with TLS: librdkafka's mock cluster, behind a proxy that ends TLS.

use std::{path::Path, sync::Arc};

use crm::{
    broker::{Broker, DeliveryOutcome, Down, EVENTS, Message, kafka::Kafka},
    config::EventsUrl,
};
use rdkafka::{mocking::MockCluster, producer::DefaultProducerContext};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    },
};

use crate::harness::{
    broker::configured,
    certificates::{Authority, ServerCertificate},
};

fn kafka_at(url: &str, ca_file: &Path) -> Kafka {
    let EventsUrl::Kafka(address) = configured(url, ca_file) else { panic!("{url}") };
    Kafka::new(address)
}

fn acceptor(ServerCertificate { certificate, key }: &ServerCertificate) -> TlsAcceptor {
    let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key).unwrap();
    TlsAcceptor::from(Arc::new(config))
}

/// A proxy to the only broker of a cluster, which is told to clients at the proxy's port; returns that port.
async fn tls_before(kafka: &MockCluster<'static, DefaultProducerContext>, tls: TlsAcceptor) -> u16 {
    let server: u16 = kafka.bootstrap_servers().rsplit(':').next().unwrap().parse().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let own = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            let tls = tls.clone();
            tokio::spawn(async move {
                let Ok(near) = tls.accept(near).await else { return };
                let far = TcpStream::connect(("127.0.0.1", server)).await.unwrap();
                let ((from_near, to_near), (from_far, to_far)) = (tokio::io::split(near), tokio::io::split(far));
                tokio::join!(
                    forward(from_near, to_far, None),
                    forward(from_far, to_near, Some([u32::from(server), u32::from(own)]))
                );
            });
        }
    });
    own
}

/// Forwards frames, with one port put in the place of another: Kafka writes a port as four bytes.
async fn forward(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, ports: Option<[u32; 2]>) {
    while let Ok(size) = from.read_u32().await {
        let mut frame = vec![0; size as usize];
        if from.read_exact(&mut frame).await.is_err() {
            return;
        }
        if let Some([port, own]) = ports.map(|ports| ports.map(u32::to_be_bytes))
            && let Some(at) = frame.windows(4).position(|bytes| bytes == port)
        {
            frame[at..at + 4].copy_from_slice(&own);
        }
        if to.write_u32(size).await.is_err() || to.write_all(&frame).await.is_err() || to.flush().await.is_err() {
            return;
        }
    }
}

async fn publish(kafka: &Kafka) -> DeliveryOutcome {
    let message = Message {
        id: uuid::Uuid::nil(),
        event_type: "crm.customer.created".to_owned(),
        tenant: "default".to_owned(),
        aggregate: uuid::Uuid::nil(),
        at: chrono::DateTime::UNIX_EPOCH,
        traceparent: String::new(),
        payload: b"{}".to_vec(),
    };
    kafka.publisher().await.unwrap().publish(&[message]).await.remove(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kafka_with_tls_is_published_to_where_its_certificate_is_trusted() {
    let kafka = MockCluster::new(1).unwrap();
    kafka.create_topic(EVENTS, 1, 1).unwrap();
    let (authority, stranger) = (Authority::new("crm test"), Authority::new("a stranger"));
    let directory = tempfile::tempdir().unwrap();
    let (ca_file, strange) = (directory.path().join("ca.pem"), directory.path().join("stranger.pem"));
    std::fs::write(&ca_file, authority.pem()).unwrap();
    std::fs::write(&strange, stranger.pem()).unwrap();
    let port = tls_before(&kafka, acceptor(&authority.sign("127.0.0.1"))).await;
    let url = format!("kafka+ssl://127.0.0.1:{port}");
    assert_eq!(publish(&kafka_at(&url, &ca_file)).await, DeliveryOutcome::Confirmed);
    let misnamed = tls_before(&kafka, acceptor(&authority.sign("elsewhere.test"))).await;
    let misnamed = format!("kafka+ssl://127.0.0.1:{misnamed}");
    let refused = (kafka_at(&url, &strange), kafka_at(&misnamed, &ca_file));
    let (strange, misnamed) = tokio::join!(publish(&refused.0), publish(&refused.1));
    for outcome in [strange, misnamed] {
        let reason = outcome.unanswered().unwrap_or_else(|| panic!("{outcome:?}"));
        assert!(reason.contains("certificate verify failed"), "{reason}");
    }
}

#[tokio::test]
async fn kafka_is_logged_in_to_by_each_mechanism_that_an_address_can_name() {
    let directory = tempfile::tempdir().unwrap();
    let ca_file = directory.path().join("ca.pem");
    std::fs::write(&ca_file, Authority::new("crm test").pem()).unwrap();
    for mechanism in ["", "?sasl=plain", "?sasl=scram-sha-256", "?sasl=scram-sha-512"] {
        let kafka = kafka_at(&format!("kafka+ssl://crm:c%40nary@127.0.0.1:1{mechanism}"), &ca_file);
        // librdkafka refuses a mechanism that it was built without.
        if let Err(Down(reason)) = kafka.publisher().await {
            panic!("{mechanism}: {reason}");
        }
    }
}
