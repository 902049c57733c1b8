//! A gateway as a process, with the delivered configuration: only addresses and file names are others.

use std::{
    env,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use reqwest::{Certificate, Client, Method, RequestBuilder, redirect::Policy};
use tempfile::TempDir;

use super::Reply;
use crate::harness::{certificates::Authority, free_port, signal, variable, within};

const DELIVERED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/delivery/gateway");
/// The service's address in the delivered files.
const SERVICE: &str = "127.0.0.1:8080";
/// What stands behind a line that is for one of the two ways to treat the prefix.
const PASSED_ON: &str = "# the prefix is passed on";
const STRIPPED: &str = "# the prefix is stripped";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Nginx,
    Caddy,
    Envoy,
    Traefik,
}

impl Kind {
    const ALL: [Self; 4] = [Self::Nginx, Self::Caddy, Self::Envoy, Self::Traefik];

    fn program(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::Caddy => "caddy",
            Self::Envoy => "envoy",
            Self::Traefik => "traefik",
        }
    }

    /// The delivered files, the one to start with first.
    fn files(self) -> &'static [&'static str] {
        match self {
            Self::Nginx => &["nginx.conf", "nginx-upstream.conf"],
            Self::Caddy => &["Caddyfile"],
            Self::Envoy => &["envoy.yaml"],
            Self::Traefik => &[
                "traefik/traefik.yaml",
                "traefik/routes.yaml",
                "traefik/plugins-local/src/errorbody/.traefik.yml",
                "traefik/plugins-local/src/errorbody/go.mod",
                "traefik/plugins-local/src/errorbody/errorbody.go",
            ],
        }
    }

    /// Whether the program is there; where it need not be, says that a test is skipped.
    pub fn is_there(self) -> bool {
        let path = variable("PATH").unwrap_or_default();
        let there = env::split_paths(&path).any(|folder| folder.join(self.program()).is_file());
        assert!(there || variable("CI").is_none(), "{} is not installed: make gateways", self.program());
        if !there {
            let test = std::thread::current().name().unwrap_or_default().to_owned();
            eprintln!("== SKIPPED {test} with {}, which is not installed", self.program());
        }
        there
    }

    /// Writes the configuration for these addresses into a directory.
    fn configure(self, directory: &Path, port: u16, services: &[String], stripped: bool, changes: &[(&str, &str)]) {
        let mut changed = vec![false; changes.len()];
        for name in self.files() {
            let mut text = fs::read_to_string(Path::new(DELIVERED).join(name)).unwrap();
            if stripped {
                text = strip_prefix(&text);
            }
            for (index, (from, to)) in changes.iter().enumerate() {
                changed[index] |= text.contains(from);
                text = text.replace(from, to);
            }
            text = self.with_addresses(text, directory, port, services);
            let to = directory.join(name);
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            fs::write(to, text).unwrap();
        }
        assert!(changed.iter().all(|changed| *changed), "{self:?} has none of {changes:?}");
    }

    fn with_addresses(self, text: String, directory: &Path, port: u16, services: &[String]) -> String {
        let (own, first) = (directory.display(), services[0].as_str());
        let text = text.replace("/etc/crm/tls", &own.to_string()).replace(":8443", &format!(":{port}"));
        match self {
            Self::Nginx => {
                let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
                    .map(|what| format!("  {what}_temp_path {own}/{what};\n"))
                    .concat();
                text.replace("http {\n", &format!("http {{\n{temporary}"))
                    .replace("listen 8443", &format!("listen 127.0.0.1:{port}"))
                    .replace("/run/nginx.pid", &format!("{own}/nginx.pid"))
                    .replace("worker_processes auto", "worker_processes 1")
                    .replace(SERVICE, &services.join("; server "))
            }
            Self::Caddy => text.replace(SERVICE, &services.join(" ")),
            Self::Envoy => {
                let (host, service_port) = first.rsplit_once(':').unwrap();
                text.replace("port_value: 8443", &format!("port_value: {port}"))
                    .replace("0.0.0.0", "127.0.0.1")
                    .replace(
                        "address: 127.0.0.1, port_value: 8080",
                        &format!("address: {host}, port_value: {service_port}"),
                    )
            }
            Self::Traefik => text.replace("/etc/traefik", &format!("{own}/traefik")).replace(SERVICE, first),
        }
    }

    fn command(self, directory: &Path) -> Command {
        let mut command = Command::new(self.program());
        let file = directory.join(self.files()[0]);
        match self {
            Self::Nginx => command.args(["-e", "stderr", "-g", "daemon off;", "-p"]).arg(directory).arg("-c").arg(file),
            Self::Caddy => command.args(["run", "--adapter", "caddyfile", "--config"]).arg(file),
            Self::Envoy => {
                command.args(["--log-level", "warn", "--concurrency", "1", "--use-dynamic-base-id", "-c"]).arg(file)
            }
            Self::Traefik => {
                let mut option = std::ffi::OsString::from("--configFile=");
                option.push(file);
                command.current_dir(directory.join("traefik")).arg(option)
            }
        };
        command
    }
}

/// The other of the two ways: the lines of the first are comments, and those of the second none.
fn strip_prefix(text: &str) -> String {
    assert!(text.contains(STRIPPED) || !text.contains(PASSED_ON), "there is no line to strip the prefix");
    let mut lines: Vec<String> = Vec::new();
    for line in text.lines() {
        let indent = line.len() - line.trim_start().len();
        let (blank, rest) = line.split_at(indent);
        lines.push(match rest.strip_prefix('#') {
            Some(other) if other.ends_with(STRIPPED) => format!("{blank}{other}"),
            None if rest.ends_with(PASSED_ON) => format!("{blank}#{rest}"),
            _ => line.to_owned(),
        });
    }
    lines.join("\n") + "\n"
}

/// A running gateway; ended with the test.
pub struct Front {
    pub name: String,
    pub stripped: bool,
    process: Child,
    origin: String,
    client: Client,
    directory: TempDir,
}

impl Front {
    /// Each gateway that is there, in front of the service at this address, in both ways.
    pub async fn each(service: &str) -> Vec<Self> {
        Self::each_with(&[service.to_owned()], &[]).await
    }

    /// The same in front of several instances, with some text of the configuration replaced.
    pub async fn each_with(services: &[String], changes: &[(&str, &str)]) -> Vec<Self> {
        let mut fronts = Vec::new();
        for kind in Kind::ALL.into_iter().filter(|kind| kind.is_there()) {
            fronts.extend([false, true].map(|stripped| Self::start(kind, services, stripped, changes)));
        }
        for front in &fronts {
            front.ready().await;
        }
        fronts
    }

    /// One gateway with some text of the configuration replaced.
    pub async fn changed(kind: Kind, service: &str, changes: &[(&str, &str)]) -> Self {
        let front = Self::start(kind, &[service.to_owned()], false, changes);
        front.ready().await;
        front
    }

    fn start(kind: Kind, services: &[String], stripped: bool, changes: &[(&str, &str)]) -> Self {
        let (directory, port) = (tempfile::tempdir().unwrap(), free_port());
        let authority = Authority::new("the gateways' tests");
        let server = authority.sign("127.0.0.1");
        fs::write(directory.path().join("tls.crt"), server.certificate).unwrap();
        fs::write(directory.path().join("tls.key"), server.key).unwrap();
        kind.configure(directory.path(), port, services, stripped, changes);
        let log = File::create(directory.path().join("log")).unwrap();
        let mut command = kind.command(directory.path());
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let process = command.env("HOME", directory.path()).spawn().unwrap();
        let trusted = Certificate::from_pem(authority.pem().as_bytes()).unwrap();
        let client = Client::builder().tls_certs_only([trusted]).no_proxy().redirect(Policy::none());
        let way = if stripped { "stripped" } else { "passed on" };
        Self {
            name: format!("{kind:?}, the prefix {way}"),
            stripped,
            process,
            origin: format!("https://127.0.0.1:{port}"),
            client: client.build().unwrap(),
            directory,
        }
    }

    /// Waits until it answers for a path that it does not route.
    async fn ready(&self) {
        within(60, &format!("{} answers", self.name), async || {
            let answer = self.request(Method::GET, "/nowhere").send().await;
            answer.is_ok_and(|answer| answer.status() == 404)
        })
        .await;
    }

    /// A request for this path, with the prefix where it is wanted.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.origin)).timeout(Duration::from_secs(90))
    }

    pub async fn send(&self, request: RequestBuilder) -> Reply {
        let response = match request.send().await {
            Ok(response) => response,
            Err(error) => panic!("{}: {error:?}\n{}", self.name, self.log()),
        };
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = response.text().await.unwrap_or_else(|error| panic!("{}: {error:?}", self.name));
        Reply { front: self.name.clone(), status, headers, body }
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        let file: PathBuf = self.directory.path().join("log");
        String::from_utf8_lossy(&fs::read(file).unwrap_or_default()).into_owned()
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        signal("-TERM", self.process.id());
        let _reaped = self.process.wait();
        if std::thread::panicking() {
            eprintln!("{}:\n{}", self.name, self.log());
        }
    }
}
