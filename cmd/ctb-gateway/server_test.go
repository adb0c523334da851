//go:build unix

package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/confidential-token-broker/ctb/ctbtest"
)

// TestHangupDuringStart: a signal that comes while files are read does not end
// the program. The certificate is a pipe, so that its reading waits for the test.
func TestHangupDuringStart(t *testing.T) {
	config, _ := configure(t, ctbtest.NewIssuer(t), "tls: {certificate: gw.crt, key: gw.key}\n")
	path := filepath.Join(filepath.Dir(config), "gw.crt")
	writeCertificate(t, filepath.Dir(config))
	certificate, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Skip("no named pipes here:", err)
	}
	p := launch(t, config)
	pipe, err := os.OpenFile(path, os.O_WRONLY, 0) // once the program reads
	if err != nil {
		t.Fatal(err)
	}
	p.cmd.Process.Signal(syscall.SIGHUP)
	pipe.Write(certificate)
	pipe.Close()
	p.listens()
	p.wait("files are unchanged") // the signal has waited
}

// TestConnectionLimit: a connection beyond the limit waits until another ends.
func TestConnectionLimit(t *testing.T) {
	iss := ctbtest.NewIssuer(t)
	config, _ := configure(t, iss, "limits: {connections: 1}\n")
	p := startGateway(t, config)
	held, err := net.Dial("tcp", p.address)
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	impatient := &http.Client{Timeout: 300 * time.Millisecond}
	if res, err := impatient.Get("http://" + p.address); err == nil {
		t.Errorf("got %d beside the one connection that is allowed", res.StatusCode)
		res.Body.Close()
	}
	held.Close()
	if got := p.status(http.DefaultClient, "http", iss.Token(ctbtest.Claims{"scope": "read:reports"})); got != 200 {
		t.Errorf("after the other connection: got %d, want 200", got)
	}
}

// TestStreamLimit: a client of HTTP/2 is told how many requests it may have under way.
func TestStreamLimit(t *testing.T) {
	config, _ := configure(t, ctbtest.NewIssuer(t), "tls: {certificate: gw.crt, key: gw.key}\n")
	roots := writeCertificate(t, filepath.Dir(config))
	p := startGateway(t, config)
	c, err := tls.Dial("tcp", p.address, &tls.Config{RootCAs: roots, NextProtos: []string{"h2"}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	io.WriteString(c, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00") // RFC 9113 section 3.4
	header := make([]byte, 9)
	if _, err := io.ReadFull(c, header); err != nil || header[3] != 4 {
		t.Fatalf("got frame %x, %v, want SETTINGS", header, err)
	}
	settings := make([]byte, int(header[1])<<8|int(header[2]))
	if _, err := io.ReadFull(c, settings); err != nil {
		t.Fatal(err)
	}
	for ; len(settings) >= 6; settings = settings[6:] {
		if binary.BigEndian.Uint16(settings) == 3 { // SETTINGS_MAX_CONCURRENT_STREAMS
			if got := binary.BigEndian.Uint32(settings[2:]); got != maxStreams {
				t.Errorf("got %d streams, want %d", got, maxStreams)
			}
			return
		}
	}
	t.Error("the server does not limit streams")
}

// TestServerOptions: net/http answers "OPTIONS *" by itself, after it has waited for a body for as long as it takes. Here
// it is a request like any other, which a stranger cannot hold a connection with.
func TestServerOptions(t *testing.T) {
	config, _ := configure(t, ctbtest.NewIssuer(t), "")
	c, err := net.Dial("tcp", startGateway(t, config).address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(20 * time.Second)) // for a hang; it does not decide
	io.WriteString(c, "OPTIONS * HTTP/1.1\r\nHost: gw\r\nContent-Length: 100\r\n\r\n")
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	if res.StatusCode != http.StatusBadRequest || !res.Close || res.Header.Get("X-Request-Id") == "" {
		t.Errorf("got %d, close %v, %v, want the gateway's 400 and the end", res.StatusCode, res.Close, res.Header)
	}
}

// TestServerLog: strangers write nothing into the log by broken handshakes, and
// what operators must know is still there.
func TestServerLog(t *testing.T) {
	var b bytes.Buffer
	log := newServer(nil, slog.New(slog.NewTextHandler(&b, nil))).ErrorLog
	log.Print("http: TLS handshake error from 192.0.2.1:1: EOF")
	log.Print("http2: server: error reading preface from client 192.0.2.1:1: EOF")
	if b.Len() > 0 {
		t.Errorf("a stranger's line is in the log: %s", &b)
	}
	log.Print("http: Accept error: too many open files; retrying in 5ms")
	log.Print("http2: panic serving 192.0.2.1:1: boom")
	if got := b.String(); strings.Count(got, "level=WARN") != 2 || !strings.Contains(got, "too many open files") || !strings.Contains(got, "boom") {
		t.Errorf("the log lacks a line: %s", got)
	}
}
