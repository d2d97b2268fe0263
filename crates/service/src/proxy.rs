//! HTTP proxies: `CONNECT host:port`, then the stream is ours.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use data_encoding::BASE64;
use gazelle_wire::tcp::{self, Timeouts};
use zeroize::Zeroizing;

use crate::error::ServiceError;

/// An answer's head may be so long.
const HEAD: usize = 16 << 10;

/// A proxy that connects us to servers.
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy {
    /// `host:port`.
    address: String,
    /// `user:password` in base 64.
    credentials: Option<Zeroizing<String>>,
}

impl std::fmt::Debug for Proxy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Proxy").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Proxy {
    /// Reads `http://[user:password@]host[:port]`; `http://` may be left out, the port is 8080 then and 80
    /// otherwise.
    ///
    /// # Errors
    /// [`ServiceError::Caller`] if it is something else. The text is not repeated: it may hold a password.
    pub fn parse(text: &str) -> Result<Self, ServiceError> {
        let refuse = |why: &str| ServiceError::Caller(format!("proxy: {why}"));
        let (scheme, rest) = match text.split_once("://") {
            Some((scheme, rest)) => (Some(scheme), rest),
            None => (None, text),
        };
        if scheme.is_some_and(|scheme| !scheme.eq_ignore_ascii_case("http")) {
            return Err(refuse("only http:// proxies are spoken to"));
        }
        let rest = rest.trim_end_matches('/');
        let (credentials, host) = match rest.rsplit_once('@') {
            Some((user, host)) => {
                let user = Zeroizing::new(percent_decoded(user).ok_or_else(|| {
                    refuse("a user name or password with a percent sign and no two digits")
                })?);
                (Some(Zeroizing::new(BASE64.encode(user.as_bytes()))), host)
            }
            None => (None, rest),
        };
        let plain = |c: char| c.is_ascii_alphanumeric() || ".-_[]:".contains(c);
        if host.is_empty() || !host.chars().all(plain) {
            return Err(refuse("not of the form http://host:port"));
        }
        let default = if scheme.is_some() { 80 } else { 8080 };
        let address =
            if port_of(host).is_some() { host.into() } else { format!("{host}:{default}") };
        Ok(Self { address, credentials })
    }

    /// The proxy that the environment names for a server: `HTTPS_PROXY` or `https_proxy`, unless `NO_PROXY`
    /// or `no_proxy` (`*`, names and their domains, addresses) excepts it; never for this machine's own
    /// addresses.
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    pub fn of_environment(server: &str) -> Result<Option<Self>, ServiceError> {
        let set = |names: [&str; 2]| {
            names.into_iter().find_map(|name| std::env::var(name).ok().filter(|v| !v.is_empty()))
        };
        let Some(proxy) = set(["HTTPS_PROXY", "https_proxy"]) else { return Ok(None) };
        let except = set(["NO_PROXY", "no_proxy"]).unwrap_or_default();
        if excepted(host_of(server), &except) {
            return Ok(None);
        }
        Self::parse(&proxy).map(Some)
    }

    /// Connects to the proxy, and through it to `server` (`host:port`).
    ///
    /// # Errors
    /// [`ServiceError::Proxy`] if it refuses, [`ServiceError::Unreachable`] if it is not there.
    pub(crate) fn connect(
        &self,
        server: &str,
        timeouts: &Timeouts,
    ) -> Result<TcpStream, ServiceError> {
        let fail = |why: String| ServiceError::Proxy { proxy: self.address.clone(), why };
        let mut stream = tcp::dial(self.address.as_str(), timeouts).map_err(|source| {
            ServiceError::Unreachable { address: format!("the proxy {}", self.address), source }
        })?;
        let io = |error: std::io::Error| fail(error.to_string());
        stream
            .set_read_timeout(Some(timeouts.handshake.max(Duration::from_millis(1))))
            .map_err(io)?;
        stream.set_write_timeout(Some(timeouts.connect)).map_err(io)?;
        let mut request =
            Zeroizing::new(format!("CONNECT {server} HTTP/1.1\r\nHost: {server}\r\n"));
        if let Some(credentials) = &self.credentials {
            request.push_str("Proxy-Authorization: Basic ");
            request.push_str(credentials);
            request.push_str("\r\n");
        }
        request.push_str("\r\n");
        stream.write_all(request.as_bytes()).map_err(io)?;
        let status = self.status(&mut stream)?;
        match status {
            200..=299 => Ok(stream),
            407 => Err(fail(
                "it wants a user name and a password: http://user:password@host:port".into(),
            )),
            403 => Err(fail(format!("it does not let us connect to {server} (403)"))),
            502..=504 => Err(fail(format!("it cannot reach {server} ({status})"))),
            other => Err(fail(format!("it answered {other} to CONNECT {server}"))),
        }
    }

    /// Reads the answer's head, byte by byte: what follows belongs to the server.
    fn status(&self, stream: &mut TcpStream) -> Result<u16, ServiceError> {
        let fail = |why: &str| ServiceError::Proxy { proxy: self.address.clone(), why: why.into() };
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).map_err(|error| fail(&error.to_string()))?;
            head.extend(byte);
            if head.len() > HEAD {
                return Err(fail("its answer does not end"));
            }
        }
        let mut headers = [httparse::EMPTY_HEADER; 64];
        let mut response = httparse::Response::new(&mut headers);
        match response.parse(&head) {
            Ok(_) => response.code.ok_or_else(|| fail("its answer has no status")),
            Err(_) => Err(fail("it does not speak HTTP")),
        }
    }
}

/// `a%40b` -> `a@b`; `None` if a percent sign is not followed by two digits, or the bytes are no text.
fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digits = [rest.next()?, rest.next()?];
            bytes.push(data_encoding::HEXLOWER_PERMISSIVE.decode(&digits).ok()?.first().copied()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

/// The port of `host:port` or `[v6]:port`.
pub(crate) fn port_of(address: &str) -> Option<u16> {
    let (host, port) = address.rsplit_once(':')?;
    let bracketed = host.starts_with('[') && host.ends_with(']');
    if host.contains(':') && !bracketed {
        return None;
    }
    port.parse().ok()
}

/// The host of `host:port`, `[v6]:port`, or of either without a port.
pub(crate) fn host_of(address: &str) -> &str {
    let host = match address.rsplit_once(':') {
        Some((host, _)) if port_of(address).is_some() => host,
        _ => address,
    };
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

fn excepted(host: &str, list: &str) -> bool {
    let loopback =
        host.parse().is_ok_and(tcp::is_loopback) || host.eq_ignore_ascii_case("localhost");
    loopback
        || list.split(',').map(str::trim).filter(|entry| !entry.is_empty()).any(|entry| {
            let domain = entry.trim_start_matches("*.").trim_start_matches('.');
            let (host, domain) = (host.to_ascii_lowercase(), domain.to_ascii_lowercase());
            entry == "*" || host == domain || host.ends_with(&format!(".{domain}"))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proxies_are_read_as_people_write_them() {
        let address = |text: &str| Proxy::parse(text).unwrap().address;
        assert_eq!(address("http://proxy.example:3128/"), "proxy.example:3128");
        assert_eq!(address("http://proxy.example"), "proxy.example:80");
        assert_eq!(address("proxy.example"), "proxy.example:8080");
        assert_eq!(address("http://[2001:db8::1]:3128"), "[2001:db8::1]:3128");
        let with = Proxy::parse("http://al%40ice:se:cret@p:1").unwrap();
        assert_eq!(with.credentials.as_ref().unwrap().as_str(), BASE64.encode(b"al@ice:se:cret"));
        assert!(!format!("{with:?}").contains(BASE64.encode(b"al@ice:se:cret").as_str()));
    }

    #[test]
    fn adversarial_proxies_that_are_none_are_refused_without_their_password() {
        for text in [
            "https://u:secret@p:1",
            "socks5://u:secret@p",
            "http://",
            "",
            "u:secret@a b",
            "u%zz:secret@p",
        ] {
            let error = Proxy::parse(text).unwrap_err().to_string();
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn hosts_and_ports_are_told_apart() {
        for (address, host, port) in [
            ("a.example:7764", "a.example", Some(7764)),
            ("a.example", "a.example", None),
            ("[2001:db8::1]:7764", "2001:db8::1", Some(7764)),
            ("2001:db8::1", "2001:db8::1", None),
            ("192.0.2.1:1", "192.0.2.1", Some(1)),
        ] {
            assert_eq!((host_of(address), port_of(address)), (host, port), "{address}");
        }
    }

    #[test]
    fn own_addresses_and_listed_ones_go_without_a_proxy() {
        for host in ["127.0.0.1", "::1", "localhost", "a.example", "b.a.example", "10.0.0.1"] {
            assert!(excepted(host, "a.example, 10.0.0.1"), "{host}");
        }
        assert!(excepted("x", "*") && excepted("x.d", "*.d") && excepted("x.D", ".d"));
        assert!(!excepted("ba.example", "a.example") && !excepted("x", ""));
    }
}
