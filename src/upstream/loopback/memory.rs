//! How much memory a hostile answer can take, measured in a process of its own.

use std::io::Write as _;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};

use super::support::{After, LIMIT, Server, get};

/// The child of [`a_bomb_takes_little_memory`], and a test of its own: ten GiB of zeros, in a few MiB.
#[tokio::test]
async fn a_bomb_is_cut_at_the_limit() {
    for encoding in ["gzip", "deflate"] {
        let hung_up = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&hung_up);
        let server = Server::start(move |_, stream| {
            write!(stream, "HTTP/1.1 200 OK\r\ncontent-encoding: {encoding}\r\n\r\n").unwrap();
            let zeros = vec![0; 1024 * 1024];
            let sent = if encoding == "gzip" {
                let mut packer = GzEncoder::new(stream, Compression::fast());
                (0..10_240).all(|_| packer.write_all(&zeros).is_ok())
            } else {
                let mut packer = ZlibEncoder::new(stream, Compression::fast());
                (0..10_240).all(|_| packer.write_all(&zeros).is_ok())
            };
            seen.store(!sent, Ordering::SeqCst);
            After::Close
        });
        let error = server.upstream().await.send(&get("/x")).await.unwrap_err().error;
        assert_eq!((error.code().as_str(), error.name()), ("response_too_large", "too_large"), "{encoding}");
        assert!(error.to_string().contains(&LIMIT.to_string()), "{error}");
        while !hung_up.load(Ordering::SeqCst) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    println!("peak: {} KiB", peak());
}

#[test]
fn a_bomb_takes_little_memory() {
    let mut child = Command::new(std::env::current_exe().unwrap());
    let output = child
        .args(["--exact", "--nocapture", "upstream::loopback::memory::a_bomb_is_cut_at_the_limit"])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}");
    let peak = text.split_once("peak: ").unwrap().1.split(' ').next().unwrap();
    assert!(peak.parse::<u64>().unwrap() < 64 * 1024, "{peak} KiB");
}

/// The largest resident size so far, in KiB.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}
