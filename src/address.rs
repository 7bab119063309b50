//! Which addresses there are: who can reach them, and which of them a policy lets the gateway reach.
//!
//! Promises that nothing but public addresses is allowed unless the policy says so. Pure: the policy is judged by it when it is read,
//! and every answer of a resolver before it is dialled.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use url::{Host, Url};

/// How far the policy lets the gateway reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Public addresses: the default.
    Public,
    /// This machine alone: plain HTTP goes nowhere else.
    Loopback,
    /// Private addresses too: `allow_private = true`.
    Private,
}

/// How an address came to be dialled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Spelled {
    /// The policy's `base_url` spells the address itself.
    Literal,
    /// A name was resolved to it.
    Name,
}

/// What kind of place an address is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Zone {
    /// Reachable by everybody.
    Public,
    /// This machine.
    Loopback,
    /// This link, and the addresses at which clouds hand out machine credentials.
    LinkLocal,
    /// Private, shared, documentation, benchmarking, tunnels: nobody's public API.
    Private,
    /// No place to dial: unspecified, multicast, broadcast, reserved.
    Nowhere,
}

/// An address that may not be dialled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("address {address} is {zone}, which the policy does not allow")]
pub struct AddressRefused {
    address: IpAddr,
    zone: Zone,
}

impl AddressRefused {
    /// What to do about it in the policy's `base_url`.
    pub(crate) fn help(&self) -> &'static str {
        match self.zone {
            Zone::Loopback => {
                "set `allow_private = true` if this machine is meant, or use http:// with `allow_http = true`"
            }
            Zone::LinkLocal | Zone::Private => "set `allow_private = true` if this very address is meant",
            Zone::Public => "use https://: plain HTTP is for this machine alone",
            Zone::Nowhere => "name the API's host: nothing can answer at this address",
        }
    }
}

impl Reach {
    /// How far a policy reaches over HTTPS that says this of `allow_private`.
    pub(crate) fn over_https(allow_private: bool) -> Self {
        if allow_private { Self::Private } else { Self::Public }
    }

    /// # Errors
    /// The address may not be dialled.
    pub(crate) fn judge(self, address: IpAddr, spelled: Spelled) -> Result<(), AddressRefused> {
        let zone = zone(address);
        let allowed = match (self, zone) {
            (_, Zone::Nowhere) | (Self::Public | Self::Loopback, Zone::Private) => false,
            (_, Zone::Loopback) => !matches!(self, Self::Public),
            (Self::Public | Self::Private, Zone::Public) | (Self::Private, Zone::Private) => true,
            (Self::Loopback, Zone::Public) | (Self::Public | Self::Loopback, Zone::LinkLocal) => false,
            // Wanting a private API is not wanting the machine's own credentials: no name may lead to them.
            (Self::Private, Zone::LinkLocal) => spelled == Spelled::Literal,
        };
        if allowed { Ok(()) } else { Err(AddressRefused { address, zone }) }
    }

    /// Judges the address that a URL spells in place of a name. The URL parser made an address of every spelling (`2130706433`,
    /// `0x7f.1`, `[::ffff:127.0.0.1]`), and it never reaches a resolver. A name is judged by what it resolves to.
    ///
    /// # Errors
    /// The address may not be dialled.
    pub(crate) fn judge_literal(self, url: &Url) -> Result<(), AddressRefused> {
        match url.host() {
            Some(Host::Ipv4(address)) => self.judge(address.into(), Spelled::Literal),
            Some(Host::Ipv6(address)) => self.judge(address.into(), Spelled::Literal),
            Some(Host::Domain(_)) | None => Ok(()),
        }
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Public => "public",
            Self::Loopback => "this machine",
            Self::LinkLocal => "link-local or a metadata service",
            Self::Private => "private or special",
            Self::Nowhere => "no address to dial",
        })
    }
}

fn zone(address: IpAddr) -> Zone {
    match address {
        IpAddr::V4(address) => zone_v4(address),
        IpAddr::V6(address) => zone_v6(address),
    }
}

/// IANA's special-purpose registry for IPv4 (RFC 6890 and its successors).
fn zone_v4(address: Ipv4Addr) -> Zone {
    match address.octets() {
        [0, ..] | [224..=255, ..] => Zone::Nowhere,
        [127, ..] => Zone::Loopback,
        // 168.63.129.16 is a public number that Azure answers inside every machine of its own.
        [169, 254, ..] | [168, 63, 129, 16] => Zone::LinkLocal,
        [10, ..]
        | [172, 16..=31, ..]
        | [192, 168, ..]
        | [100, 64..=127, ..]
        | [192, 0, 0 | 2, _]
        | [192, 88, 99, _]
        | [198, 18..=19, ..]
        | [198, 51, 100, _]
        | [203, 0, 113, _] => Zone::Private,
        _ => Zone::Public,
    }
}

/// IANA's special-purpose registry for IPv6; an address that carries an IPv4 address is judged by that one too.
fn zone_v6(address: Ipv6Addr) -> Zone {
    match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 1] => Zone::Loopback,
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => zone_v4(embedded(high, low)),
        // 6to4 (deprecated) goes through somebody's relay: never public, and not a way around the IPv4 table.
        [0x2002, high, low, ..] => match zone_v4(embedded(high, low)) {
            Zone::Public => Zone::Private,
            other @ (Zone::Loopback | Zone::LinkLocal | Zone::Private | Zone::Nowhere) => other,
        },
        // A site's own NAT64 prefix: where in it the IPv4 address stands is the site's choice; the usual place is judged.
        [0x64, 0xff9b, 1, _, _, _, high, low] => match zone_v4(embedded(high, low)) {
            other @ (Zone::Loopback | Zone::LinkLocal) => other,
            Zone::Public | Zone::Private | Zone::Nowhere => Zone::Private,
        },
        [0xfe80..=0xfebf, ..] | [0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x0254] => Zone::LinkLocal,
        [0xfc00..=0xfdff, ..]
        | [0xfec0..=0xfeff, ..]
        | [0x2001, 0..=0x1ff, ..]
        | [0x2001, 0xdb8, ..]
        | [0x3fff, 0..=0xfff, ..] => Zone::Private,
        [0x2000..=0x3fff, ..] => Zone::Public,
        _ => Zone::Nowhere,
    }
}

fn embedded(high: u16, low: u16) -> Ipv4Addr {
    Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_special_address_is_told_from_a_public_one() {
        let cases = [
            (
                Zone::Public,
                "1.1.1.1 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 172.15.255.255 172.32.0.0 191.255.255.255",
            ),
            (
                Zone::Public,
                "192.0.1.0 192.167.255.255 192.169.0.0 198.17.255.255 198.20.0.0 203.0.112.1 203.0.114.1 223.255.255.255",
            ),
            (Zone::Public, "2606:4700::1111 2a00::1 2001:200::1 ::ffff:1.1.1.1 64:ff9b::1.1.1.1"),
            (
                Zone::Loopback,
                "127.0.0.1 127.255.255.255 ::1 ::ffff:127.0.0.1 64:ff9b::127.0.0.1 2002:7f00:1::1 64:ff9b:1::127.0.0.1",
            ),
            (Zone::LinkLocal, "169.254.0.1 169.254.169.254 168.63.129.16 fe80::1 febf::1 fd00:ec2::254"),
            (
                Zone::LinkLocal,
                "::ffff:169.254.169.254 64:ff9b::169.254.169.254 2002:a9fe:a9fe::1 64:ff9b:1::169.254.169.254",
            ),
            (
                Zone::Private,
                "10.0.0.1 10.255.255.255 172.16.0.1 172.31.255.255 192.168.1.1 100.64.0.1 100.127.255.255 192.0.0.8",
            ),
            (Zone::Private, "192.0.2.1 198.18.0.1 198.19.255.255 198.51.100.1 203.0.113.1 192.88.99.1 ::ffff:10.0.0.1"),
            (
                Zone::Private,
                "fc00::1 fdff::1 fec0::1 feff::1 2001::1 2001:1ff::1 2001:db8::1 3fff::1 64:ff9b::10.0.0.1 64:ff9b:1::1.1.1.1",
            ),
            (Zone::Private, "2002:101:101::1 2002:a00:1::1"),
            (
                Zone::Nowhere,
                "0.0.0.0 0.1.2.3 224.0.0.1 239.255.255.255 240.0.0.1 255.255.255.255 :: ff02::1 ::ffff:0.0.0.0",
            ),
            (Zone::Nowhere, "::127.0.0.1 ::10.0.0.1 100::1 1fff::1 4000::1 5f00::1 2002:e000:1::1 ::ffff:0:127.0.0.1"),
        ];
        for (expected, addresses) in cases {
            for address in addresses.split(' ') {
                assert_eq!(zone(address.parse().unwrap()), expected, "{address}");
            }
        }
    }

    #[test]
    fn an_address_is_dialled_only_as_far_as_the_policy_reaches() {
        use Spelled::{Literal, Name};
        let all = [Reach::Public, Reach::Loopback, Reach::Private];
        let cases = [
            ("1.1.1.1", Name, [true, false, true]),
            ("127.0.0.1", Name, [false, true, true]),
            ("10.0.0.1", Name, [false, false, true]),
            ("169.254.169.254", Name, [false, false, false]),
            ("169.254.169.254", Literal, [false, false, true]),
            ("::ffff:169.254.169.254", Name, [false, false, false]),
            ("0.0.0.0", Literal, [false, false, false]),
            ("224.0.0.1", Literal, [false, false, false]),
        ];
        for (address, spelled, expected) in cases {
            let allowed = all.map(|reach| reach.judge(address.parse().unwrap(), spelled).is_ok());
            assert_eq!(allowed, expected, "{address} {spelled:?}");
        }
    }
}
