//! Links that are slow, stalled and cut, and a disk that is full.

use bonesetter_testbed::fault::{Link, Proxy, SmallDisk};
use std::fs;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// A server that sends back what it is sent.
async fn echo() -> std::io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut from, mut to) = stream.split();
                tokio::io::copy(&mut from, &mut to).await
            });
        }
    });
    Ok(address)
}

async fn ask(stream: &mut TcpStream) -> std::io::Result<[u8; 4]> {
    stream.write_all(b"ping").await?;
    let mut answer = [0; 4];
    stream.read_exact(&mut answer).await?;
    Ok(answer)
}

#[tokio::test]
async fn an_open_link_passes_both_ways_and_a_cut_one_ends_old_and_new_connections() {
    let proxy = Proxy::start(echo().await.unwrap()).await.unwrap();
    let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
    assert_eq!(ask(&mut stream).await.unwrap(), *b"ping");
    proxy.set(Link::Slow(Duration::from_millis(5)));
    assert_eq!(ask(&mut stream).await.unwrap(), *b"ping");

    proxy.set(Link::Cut);
    assert!(ask(&mut stream).await.is_err());
    let mut late = TcpStream::connect(proxy.address()).await.unwrap();
    assert!(ask(&mut late).await.is_err());

    proxy.set(Link::Open);
    let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
    assert_eq!(ask(&mut stream).await.unwrap(), *b"ping");
}

#[tokio::test]
async fn what_is_sent_to_a_deaf_client_is_lost_and_what_it_sends_is_not() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = Proxy::start(listener.local_addr().unwrap()).await.unwrap();
    let mut client = TcpStream::connect(proxy.address()).await.unwrap();
    let (mut server, _) = listener.accept().await.unwrap();
    proxy.set(Link::Deaf);
    server.write_all(b"lost").await.unwrap();
    client.write_all(b"sent").await.unwrap();
    let mut received = [0; 4];
    server.read_exact(&mut received).await.unwrap();
    assert_eq!(received, *b"sent");
    server.shutdown().await.unwrap();
    let mut rest = Vec::new();
    client.read_to_end(&mut rest).await.unwrap();
    assert!(rest.is_empty(), "{rest:?}");
    assert_eq!(
        (proxy.lost().as_slice(), proxy.accepted()),
        (&b"lost"[..], 1)
    );
}

#[tokio::test(start_paused = true)]
async fn nothing_passes_a_stalled_link_until_it_is_open_again() {
    let proxy = Proxy::start(echo().await.unwrap()).await.unwrap();
    let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
    assert_eq!(ask(&mut stream).await.unwrap(), *b"ping");
    proxy.set(Link::Stalled);
    let mut asking = Box::pin(ask(&mut stream));
    let waited = tokio::time::timeout(Duration::from_secs(1), &mut asking).await;
    assert!(waited.is_err(), "{waited:?}");
    proxy.set(Link::Open);
    assert_eq!(asking.await.unwrap(), *b"ping");
}

#[test]
fn a_full_disk_takes_nothing_until_it_has_room_again() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("disk");
    let disk = SmallDisk::mount(&place, 1 << 20).unwrap();
    let file = place.join("file");
    fs::write(&file, [1; 4096]).unwrap();
    assert!(disk.fill().unwrap() > 1 << 19);
    let refused = fs::write(place.join("other"), [1; 4096]).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::StorageFull);
    disk.free().unwrap();
    disk.free().unwrap();
    fs::write(place.join("other"), [1; 4096]).unwrap();
    assert_eq!(fs::read(&file).unwrap(), [1; 4096]);
    drop(disk);
    assert!(!file.exists(), "it is gone with its disk");
}
