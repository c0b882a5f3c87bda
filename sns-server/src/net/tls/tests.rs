use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    date_time_ymd,
};
use sns_core::ErrorKind;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;

use super::*;

struct Ca {
    cert: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Ca {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        let cert = params.self_signed(&key).unwrap().pem();
        let issuer = Issuer::new(params, key);
        Self { cert, issuer }
    }

    /// Writes a certificate that is good until the end of the year `until`.
    fn sign(&self, dir: &Path, until: i32, usages: &[ExtendedKeyUsagePurpose]) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(until, 12, 31);
        params.extended_key_usages = usages.to_vec();
        let cert = params.signed_by(&key, &self.issuer).unwrap();
        std::fs::write(dir.join("c"), cert.pem()).unwrap();
        write_key(dir, &key.serialize_pem());
        std::fs::write(dir.join("a"), &self.cert).unwrap();
    }

    fn good(&self, dir: &Path) {
        self.sign(
            dir,
            2090,
            &[
                ExtendedKeyUsagePurpose::ServerAuth,
                ExtendedKeyUsagePurpose::ClientAuth,
            ],
        );
    }
}

fn write_key(dir: &Path, pem: &str) {
    let path = dir.join("k");
    std::fs::write(&path, pem).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

fn files(dir: &Path) -> TlsFiles {
    TlsFiles {
        cert: dir.join("c"),
        key: dir.join("k"),
        ca: Some(dir.join("a")),
    }
}

fn refusal(dir: &Path) -> Failure {
    Tls::open(files(dir)).unwrap_err()
}

#[test]
fn every_mistake_in_the_files_is_told_with_what_to_do() {
    let scratch = tempfile::tempdir().unwrap();
    let dir = scratch.path();
    let ca = Ca::new();
    assert_eq!(refusal(dir).kind, ErrorKind::NotFound);
    ca.good(dir);
    Tls::open(files(dir)).unwrap();

    let write = |name: &str, text: &str| std::fs::write(dir.join(name), text).unwrap();
    for name in ["c", "k", "a"] {
        ca.good(dir);
        write(name, "no PEM at all");
        let refused = refusal(dir);
        assert_eq!(refused.kind, ErrorKind::Invalid, "{refused}");
        assert!(refused.message.contains("PEM"), "{refused}");
    }
    ca.good(dir);
    write("a", &std::fs::read_to_string(dir.join("c")).unwrap());
    assert!(refusal(dir).message.contains("no certificate of a CA"));

    ca.good(dir);
    write_key(dir, &KeyPair::generate().unwrap().serialize_pem());
    assert!(refusal(dir).message.contains("do not belong together"));

    ca.good(dir);
    let open = std::fs::Permissions::from_mode(0o640);
    std::fs::set_permissions(dir.join("k"), open).unwrap();
    assert!(refusal(dir).message.contains("chmod 600"));

    ca.good(dir);
    write("a", &Ca::new().cert);
    assert!(refusal(dir).message.contains("not by this CA"));

    ca.sign(dir, 2024, &[]);
    assert!(refusal(dir).message.contains("ended on 2024-12-31"));

    ca.sign(dir, 2090, &[ExtendedKeyUsagePurpose::ServerAuth]);
    assert!(refusal(dir).message.contains("clientAuth"));
}

/// The serial number that a new connection sees, and the connection with its other end.
async fn connect(
    tls: &Tls,
    listener: &TcpListener,
    roots: RootCertStore,
) -> (
    String,
    tokio_rustls::client::TlsStream<TcpStream>,
    tokio_rustls::server::TlsStream<TcpStream>,
) {
    let config = h2(client_builder(Arc::new(roots))
        .unwrap()
        .with_no_client_auth());
    let accept = async {
        let (stream, _) = listener.accept().await.unwrap();
        tls.acceptor(Alpn::Grpc, true).accept(stream).await.unwrap()
    };
    let dial = async {
        let stream = TcpStream::connect(listener.local_addr().unwrap())
            .await
            .unwrap();
        let name = "localhost".try_into().unwrap();
        TlsConnector::from(config)
            .connect(name, stream)
            .await
            .unwrap()
    };
    let (served, client) = tokio::join!(accept, dial);
    assert_eq!(client.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let shown = client.get_ref().1.peer_certificates().unwrap()[0].clone();
    (certificate::inspect(&shown).unwrap().serial, client, served)
}

#[tokio::test]
async fn new_files_count_for_new_connections_and_bad_ones_change_nothing() {
    let scratch = tempfile::tempdir().unwrap();
    let dir = scratch.path();
    let ca = Ca::new();
    ca.good(dir);
    let tls = Tls::open(files(dir)).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (first, mut client, mut served) =
        connect(&tls, &listener, roots(&dir.join("a")).unwrap()).await;
    assert_eq!(first, tls.serial());

    ca.good(dir);
    tls.look();
    let (second, ..) = connect(&tls, &listener, roots(&dir.join("a")).unwrap()).await;
    assert_ne!(first, second);
    // What was open goes on.
    client.write_all(b"still there").await.unwrap();
    client.flush().await.unwrap();
    let mut heard = [0; 11];
    served.read_exact(&mut heard).await.unwrap();
    assert_eq!(&heard, b"still there");

    let good = roots(&dir.join("a")).unwrap();
    std::fs::write(dir.join("c"), "-----BEGIN CERTIFICATE-----\nhalf a fi").unwrap();
    tls.look();
    let (third, ..) = connect(&tls, &listener, good.clone()).await;
    assert_eq!(third, second);
    std::fs::remove_file(dir.join("k")).unwrap();
    tls.look();
    assert_eq!(connect(&tls, &listener, good).await.0, second);

    // Mended, it counts.
    ca.good(dir);
    tls.look();
    assert_ne!(tls.serial(), second);
}
