//! Platforms that the demo shop deals with: the one whose key it made, and any on this machine.

use std::net::IpAddr;
use std::time::Duration;

use stateset_commerce::ports::{Later, Platforms};
use stateset_commerce::versions::{PROFILE_BYTES_MAX, Refusal};

use super::PLATFORM;

const TIMEOUT: Duration = Duration::from_secs(5);

pub struct LocalPlatforms {
    /// The profile at [`PLATFORM`].
    pub known: Vec<u8>,
}

/// Whether a URL is `http://` to a loopback address in numbers: no name has to be looked up for it, so none can lie.
fn is_local(url: &str) -> bool {
    let Ok(uri) = url.parse::<ureq::http::Uri>() else { return false };
    let host = uri.host().unwrap_or_default();
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let has_user = uri.authority().is_some_and(|authority| authority.as_str().contains('@'));
    uri.scheme_str() == Some("http") && !has_user && host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

impl Platforms for LocalPlatforms {
    fn profile<'a>(&'a self, url: &'a str) -> Later<'a, Result<Vec<u8>, Refusal>> {
        Box::pin(async move {
            if url == PLATFORM {
                return Ok(self.known.clone());
            }
            if !is_local(url) {
                let problem = "the demo shop reads profiles at http://127.0.0.1 alone".to_owned();
                return Err(Refusal::Unreachable(problem));
            }
            let url = url.to_owned();
            let fetched = tokio::task::spawn_blocking(move || fetch(&url)).await;
            fetched.map_err(|error| Refusal::Unreachable(error.to_string()))?.map_err(Refusal::Unreachable)
        })
    }

    fn trusts(&self, url: &str) -> bool {
        url == PLATFORM || is_local(url)
    }
}

fn fetch(url: &str) -> Result<Vec<u8>, String> {
    let config =
        ureq::Agent::config_builder().max_redirects(0).proxy(None).timeout_global(Some(TIMEOUT)).build();
    let mut response = config.new_agent().get(url).call().map_err(|error| error.to_string())?;
    if response.status().is_redirection() {
        return Err(format!("it answers {}; name the URL where the profile itself is", response.status()));
    }
    let body = response.body_mut().with_config().limit(PROFILE_BYTES_MAX as u64).read_to_vec();
    body.map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn a_profile_that_lies_elsewhere_is_not_fetched() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}/profile", listener.local_addr().expect("an address"));
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a caller");
            let _ = stream.read(&mut [0; 1024]).expect("a request");
            let answer = "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n";
            stream.write_all(answer.as_bytes()).expect("an answer");
        });
        let problem = fetch(&url).expect_err("a redirection");
        assert!(problem.contains("302") && problem.contains("URL"), "{problem}");
        server.join().expect("it answered");
    }

    #[test]
    fn only_this_machine_is_asked() {
        for local in ["http://127.0.0.1:8090/p", "http://[::1]/p", "http://127.9.9.9"] {
            assert!(is_local(local), "{local}");
        }
        for other in [
            "https://127.0.0.1/p",
            "http://localhost/p",
            "http://127.0.0.1@evil.example/p",
            "http://user@127.0.0.1/p",
            "http://10.0.0.1/p",
            "http://127.0.0.1.evil.example/",
            "ftp://127.0.0.1/",
            "",
        ] {
            assert!(!is_local(other), "{other}");
        }
    }
}
