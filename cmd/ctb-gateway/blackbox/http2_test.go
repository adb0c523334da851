package blackbox

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"encoding/pem"
	"io"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"
)

// field is a header of HTTP/2, as it is.
type field struct{ name, value string }

// h2 are frames of HTTP/2 (RFC 9113 section 4.1) that no careful client sends.
type h2 []byte

func (f *h2) frame(kind, flags byte, stream uint32, payload []byte) {
	*f = append(*f, byte(len(payload)>>16), byte(len(payload)>>8), byte(len(payload)), kind, flags)
	*f = append(binary.BigEndian.AppendUint32(*f, stream), payload...)
}

// headers writes fields as literals without indexing and without Huffman coding (RFC 7541 section 6.2.2).
func (f *h2) headers(flags byte, fields []field) {
	var block []byte
	for _, h := range fields {
		block = append(block, 0)
		for _, text := range []string{h.name, h.value} {
			// An integer with a prefix of seven bits (RFC 7541 section 5.1).
			if n := len(text); n < 127 {
				block = append(block, byte(n))
			} else {
				block = binary.AppendUvarint(append(block, 127), uint64(n-127))
			}
			block = append(block, text...)
		}
	}
	f.frame(1, flags|4, 1, block)
}

// TestHTTP2Shapes: what HTTP/1.1 cannot carry must not become another request on its way to an upstream
// that speaks it. Whether the gateway refuses or repairs is its own choice: what the upstream saw counts.
func TestHTTP2Shapes(t *testing.T) {
	t.Parallel()
	pair := httptest.NewUnstartedServer(nil)
	pair.StartTLS() // for its certificate, which is for 127.0.0.1
	cert := pair.TLS.Certificates[0]
	pair.Close()
	w := standWith(t, func(w *world) {
		key, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
		w.must(err)
		w.write("gw.crt", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Certificate[0]}))
		w.write("gw.key", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}))
	}, "strict", "sessions: off\ntls: {certificate: gw.crt, key: gw.key}\n"+tokens)
	_, token, _ := strings.Cut(strings.TrimSpace(w.bearer("a")), ": ")
	authorization := field{"authorization", token}
	good := []field{{":method", "POST"}, {":scheme", "https"}, {":authority", "gw"}, {":path", "/a"}, authorization}
	// with changes a field, or adds one.
	with := func(f field) []field {
		fields := slices.Clone(good)
		if i := slices.IndexFunc(fields, func(g field) bool { return g.name == f.name }); i >= 0 && strings.HasPrefix(f.name, ":") {
			fields[i] = f
			return fields
		}
		return append(fields, f)
	}
	const (
		refused  = "" // or broken off
		passed   = "/a"
		repaired = "/a, or refused"
		escaped  = "/a%20/smuggled"
	)
	for _, tt := range []struct {
		name   string
		fields []field
		want   string // what the upstream sees
	}{
		{"good", good, passed},
		{"its length", with(field{"content-length", "5"}), passed},
		{"too short a length", with(field{"content-length", "1"}), refused},
		{"too great a length", with(field{"content-length", "500"}), refused},
		{"two lengths", append(with(field{"content-length", "5"}), field{"content-length", "50"}), repaired},
		{"a transfer coding", with(field{"transfer-encoding", "chunked"}), refused},
		{"a connection header", with(field{"connection", "x"}), refused},
		{"an upgrade", with(field{"upgrade", "tcp"}), refused},
		{"a line's end in a value", with(field{"x", "a\r\nX-Injected: 1"}), refused},
		{"a bare LF in a value", with(field{"x", "a\nX-Injected: 1"}), refused},
		{"a NUL in a value", with(field{"x", "a\x00b"}), refused},
		{"a line's end in a name", with(field{"x\r\nx-injected", "1"}), refused},
		{"a colon in a name", with(field{"x-injected: 1\r\nx", "1"}), refused},
		{"a space in a name", with(field{"x-injected ", "1"}), refused},
		{"a capital letter", with(field{"X-Injected", "1"}), refused},
		{"a path with a line's end", with(field{":path", "/a HTTP/1.1\r\nX-Injected: 1\r\n\r\nGET /smuggled"}), refused},
		{"a path with a space", with(field{":path", "/a /smuggled"}), escaped},
		{"no path", with(field{":path", ""}), refused},
		{"a path that is a URL", with(field{":path", "http://other/a"}), repaired},
		{"a method with a line's end", with(field{":method", "GET /smuggled HTTP/1.1\r\nX: "}), refused},
		{"CONNECT", with(field{":method", "CONNECT"}), refused},
		{"an authority with a line's end", with(field{":authority", "gw\r\nX-Injected: 1"}), refused},
		{"a second path", append([]field{{":path", "/smuggled"}}, good...), refused},
		{"a pseudo-header at the end", append(slices.Clone(good), field{":path", "/smuggled"}), refused},
		{"two tokens", with(authorization), refused},
		{"no token", good[:4], refused},
	} {
		w.up.mayBreak("POST /a", 1)
		t.Run(tt.name, func(t *testing.T) {
			conn, err := tls.Dial("tcp", w.gateway.address("main"), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			conn.SetDeadline(time.Now().Add(patience))
			frames := h2("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
			frames.frame(4, 0, 0, nil) // our settings
			frames.headers(0, tt.fields)
			frames.frame(0, 1, 1, []byte("hello"))
			if _, err := conn.Write(frames); err != nil {
				t.Fatal(err)
			}
			awaitStream(conn)
			seen := w.up.taken()
			if len(seen) > 1 || len(seen) == 0 && (tt.want == passed || tt.want == escaped) || len(seen) == 1 && tt.want == refused {
				t.Errorf("the upstream saw %d requests, want %q", len(seen), tt.want)
			}
			for _, r := range seen {
				if r.method != "POST" || !strings.HasPrefix(tt.want, r.target) || r.header.Get("X-Injected") != "" || r.body != "hello" {
					t.Errorf("the upstream saw %+v, want %q", r, tt.want)
				}
			}
		})
	}
}

// awaitStream reads until stream 1 or the connection has ended.
func awaitStream(conn io.Reader) {
	var head [9]byte
	for {
		if _, err := io.ReadFull(conn, head[:]); err != nil {
			return
		}
		size := int64(head[0])<<16 | int64(head[1])<<8 | int64(head[2])
		kind, flags, stream := head[3], head[4], binary.BigEndian.Uint32(head[5:])
		if _, err := io.CopyN(io.Discard, conn, size); err != nil {
			return
		}
		const goAway, reset = 7, 3
		if kind == goAway || stream == 1 && (kind == reset || kind <= 1 && flags&1 != 0) {
			return
		}
	}
}
