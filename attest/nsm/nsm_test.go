package nsm

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fxamacker/cbor/v2"

	"github.com/confidential-token-broker/ctb/attest/nitro"
	"github.com/confidential-token-broker/ctb/attest/nitro/nitrotest"
	"github.com/confidential-token-broker/ctb/attest/tee"
)

var _ tee.Quoter = (*Quoter)(nil)

// numbered is report data that is nobody else's.
func numbered(i int) (data [64]byte) {
	binary.BigEndian.PutUint64(data[:], uint64(i+1))
	binary.BigEndian.PutUint64(data[56:], ^uint64(i)) // the last bytes count too
	return data
}

// Each of a thousand who ask at once gets the document that carries his report data, and all sessions are closed.
func TestAThousandAtOnce(t *testing.T) {
	d := newDevice(t)
	q := &Quoter{Options: d.options()}
	verifier := &nitro.Verifier{Root: d.module.Root()}
	var signed atomic.Int32
	var all sync.WaitGroup
	for i := range 1000 {
		all.Go(func() {
			e, err := q.Quote(t.Context(), numbered(i))
			if err != nil {
				t.Error(err)
				return
			}
			data := numbered(i)
			if got, err := read(e.Quote); err != nil || !bytes.Equal(got.userData, data[:]) || !got.notAfter.Equal(e.NotAfter) {
				t.Errorf("%d: got a document with other user data, %v", i, err)
			}
			if life := e.NotAfter.Sub(d.now); e.Platform != tee.Nitro || e.Collateral != nil || life <= 0 || life > 3*time.Hour {
				t.Errorf("got %q, which can be verified for %v", e.Platform, life)
			}
			if bytes.HasSuffix(e.Quote, d.template[len(d.template)-96:]) { // the signature is another's
				return
			}
			signed.Add(1)
			if report, err := verifier.Verify(t.Context(), e, d.now); err != nil || report.Data != data || report.TEE != tee.NitroEnclave || !report.Simulated {
				t.Errorf("%d: got %+v, %v", i, report, err)
			}
		})
	}
	all.Wait()
	if n := signed.Load(); n != 10 {
		t.Errorf("%d can be verified, want 10", n)
	}
	if open, asked, most := d.open.Load(), d.asked.Load(), d.most.Load(); open != 0 || asked != 1000 || most != 1 {
		t.Errorf("%d sessions are open; %d were asked, %d at a time", open, asked, most)
	}
}

func TestDetect(t *testing.T) {
	d := newDevice(t)
	got, err := (&Quoter{Options: d.options()}).Detect(t.Context())
	if err != nil || got != nitrotest.DevModuleID || d.open.Load() != 0 {
		t.Errorf("got %q, %v, %d sessions are open", got, err, d.open.Load())
	}
	for says, answer := range map[string]any{
		"it is no Nitro security module": map[string]any{"GetRandom": map[string]any{"random": []byte{1}}},
		"InvalidOperation":               map[string]string{"Error": "InvalidOperation"},
	} {
		d.answer = func([]byte) []byte { return encode(answer) }
		if got, err := (&Quoter{Options: d.options()}).Detect(t.Context()); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("got %q, %v, want … %s", got, err, says)
		}
	}
}

// remake changes the payload of a document. Its signature is then wrong, which is nothing to who makes it.
func remake(change func(payload map[string]any)) func([]byte) []byte {
	return func(document []byte) []byte {
		var parts []any
		if err := cbor.Unmarshal(document, &parts); err != nil {
			panic(err)
		}
		var p map[string]any
		if err := cbor.Unmarshal(parts[2].([]byte), &p); err != nil {
			panic(err)
		}
		change(p)
		parts[2] = encode(p)
		return encode(parts)
	}
}

// inPieces is a byte string of indefinite length (RFC 8949 section 3.2.3).
func inPieces(b []byte) cbor.RawMessage {
	half := len(b) / 2
	return bytes.Join([][]byte{{0x5f}, encode(b[:half]), encode(b[half:]), {0xff}}, nil)
}

func inNumbers(b []byte) (all []int) {
	for _, c := range b {
		all = append(all, int(c))
	}
	return all
}

func TestEachFailureIsClear(t *testing.T) {
	mine := numbered(7)
	answer := func(v any) func([]byte) []byte { return func([]byte) []byte { return encode(v) } }
	refuse := func(code string) func(*device) {
		return func(d *device) { d.answer = answer(map[string]string{"Error": code}) }
	}
	for name, c := range map[string]struct {
		fault func(*device)
		is    error
		says  []string
	}{
		"absent":               {func(d *device) { d.opening = syscall.ENOENT }, fs.ErrNotExist, []string{"open /dev/nsm: no such file", "modprobe nsm"}},
		"no permission":        {func(d *device) { d.opening = syscall.EACCES }, fs.ErrPermission, []string{"open /dev/nsm: permission denied", "let the broker's user read"}},
		"another error":        {func(d *device) { d.opening = syscall.EMFILE }, syscall.EMFILE, []string{"too many open files"}},
		"no module":            {func(d *device) { d.errno = syscall.ENOTTY }, syscall.ENOTTY, []string{"ioctl: ", "no Nitro security module"}},
		"an unknown command":   {func(d *device) { d.errno = syscall.EINVAL }, syscall.EINVAL, []string{"no Nitro security module"}},
		"a module that sleeps": {func(d *device) { d.errno = syscall.ETIMEDOUT }, syscall.ETIMEDOUT, []string{"did not answer the driver in time"}},
		"a driver's fault":     {func(d *device) { d.errno = syscall.EIO }, syscall.EIO, []string{"ioctl: input/output error"}},
		"an internal error":    {refuse("InternalError"), nil, []string{"the module refused: InternalError: it may go well another time"}},
		"a refusal":            {refuse("InputTooLarge"), nil, []string{`the module refused: "InputTooLarge"`}},
		"a long refusal":       {refuse(strings.Repeat("no\x1b", 1000)), nil, []string{`the module refused: "no\x1bno\x1b`}},
		"an empty answer":      {func(d *device) { d.answer = func([]byte) []byte { return nil } }, nil, []string{"the device's answer can't be read"}},
		"junk":                 {func(d *device) { d.answer = func([]byte) []byte { return []byte("\xff\x00junk") } }, nil, []string{"the device's answer can't be read"}},
		"a torn answer":        {func(d *device) { d.length = func(a []byte, _ int) int { return len(a) / 2 } }, nil, []string{"the device's answer can't be read"}},
		"a length that lies":   {func(d *device) { d.length = func(_ []byte, room int) int { return room + 1 } }, nil, []string{"panic: ", "out of range"}},
		"another answer":       {func(d *device) { d.answer = answer(map[string]any{"GetRandom": map[string]any{"random": []byte{1}}}) }, nil, []string{"something else than an attestation document"}},
		"no document":          {func(d *device) { d.spoil = func([]byte) []byte { return nil } }, nil, []string{"something else than an attestation document"}},
		"a short document":     {func(d *device) { d.spoil = func(b []byte) []byte { return b[:1000] } }, nil, []string{"got 1000 bytes that are no attestation document"}},
		"a long document":      {func(d *device) { d.spoil = func(b []byte) []byte { return append(b, 0) } }, nil, []string{"no attestation document", "extraneous data"}},
		"no payload": {func(d *device) {
			d.spoil = func([]byte) []byte { return encode([]any{[]byte{}, map[any]any{}, []byte{}, []byte{}}) }
		}, nil, []string{"payload: "}},
		"other report data": {func(d *device) { other := numbered(8); d.change = func([]byte) []byte { return other[:] } }, nil, []string{"other report data", fmt.Sprintf("got user_data %x, want %x", numbered(8), mine)}},
		"less report data":  {func(d *device) { d.change = func(b []byte) []byte { return b[:63] } }, nil, []string{"other report data"}},
		"more report data":  {func(d *device) { d.change = func(b []byte) []byte { return append(b, 0) } }, nil, []string{"other report data"}},
		"no report data":    {func(d *device) { d.change = func([]byte) []byte { return nil } }, nil, []string{"other report data"}},
		"no certificate":    {func(d *device) { d.spoil = remake(func(p map[string]any) { delete(p, "certificate") }) }, nil, []string{"certificate: it is missing"}},
		"a certificate of junk": {
			func(d *device) { d.spoil = remake(func(p map[string]any) { p["certificate"] = []byte("junk") }) }, nil, []string{"payload: certificate: "}},
		"user data of another type": {
			func(d *device) { d.spoil = remake(func(p map[string]any) { p["user_data"] = "text" }) }, nil, []string{"payload: "}},
		"user data in numbers": {func(d *device) { d.spoil = remake(func(p map[string]any) { p["user_data"] = inNumbers(mine[:]) }) }, nil, []string{"payload: "}},
		"user data in pieces": {
			func(d *device) { d.spoil = remake(func(p map[string]any) { p["user_data"] = inPieces(mine[:]) }) }, nil, []string{"payload: ", "indefinite-length"}},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDevice(t)
			c.fault(d)
			_, err := (&Quoter{Options: d.options()}).Quote(t.Context(), mine)
			for _, words := range append(c.says, "nsm: ") {
				if err == nil || !strings.Contains(err.Error(), words) {
					t.Errorf("got %v, want … %s", err, words)
				}
			}
			if c.is != nil && !errors.Is(err, c.is) {
				t.Errorf("got %v, want one that is %v", err, c.is)
			}
			if len(err.Error()) > 500 {
				t.Errorf("it takes %d bytes to say so", len(err.Error()))
			}
			if d.open.Load() != 0 {
				t.Errorf("%d sessions are open", d.open.Load())
			}
		})
	}
}

// A document can be verified as long as all of its certificates live: a CA that ends before the leaf ends it.
func TestTheFirstEndCounts(t *testing.T) {
	d := newDevice(t)
	earlier, err := read(d.module.Document(nil, nil, nil, d.now.Add(-2*time.Hour)))
	if err != nil {
		t.Fatal(err)
	}
	var ca []byte // that it lives no longer is all that counts here
	remake(func(p map[string]any) { ca = p["certificate"].([]byte) })(d.module.Document(nil, nil, nil, d.now.Add(-2*time.Hour)))
	d.spoil = remake(func(p map[string]any) { p["cabundle"] = append(p["cabundle"].([]any), ca) })
	e, err := (&Quoter{Options: d.options()}).Quote(t.Context(), numbered(0))
	if err != nil || !e.NotAfter.Equal(earlier.notAfter) {
		t.Errorf("got evidence until %v, %v, want %v", e.NotAfter, err, earlier.notAfter)
	}
	d.spoil = remake(func(p map[string]any) { p["cabundle"] = []any{[]byte("junk")} })
	if _, err := (&Quoter{Options: d.options()}).Quote(t.Context(), numbered(0)); err == nil || !strings.Contains(err.Error(), "payload: cabundle[0]: ") {
		t.Errorf("junk in the bundle: got %v", err)
	}
}

// A device that is slow keeps nobody beyond his context, and no second request begins beside it; afterwards all is well.
func TestSlow(t *testing.T) {
	d := newDevice(t)
	synctest.Test(t, func(t *testing.T) {
		hold := make(chan struct{})
		d.wait = func() { <-hold }
		q := &Quoter{Options: d.options()}
		var all sync.WaitGroup
		for i := range 100 {
			all.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				_, err := q.Quote(ctx, numbered(i))
				if !errors.Is(err, context.DeadlineExceeded) || !strings.HasPrefix(err.Error(), "nsm: ") || !strings.Contains(err.Error(), "call has not come back") || !strings.Contains(err.Error(), "kernel's log") {
					t.Errorf("got %v", err)
				}
			})
		}
		all.Wait()
		if asked := d.asked.Load(); asked != 1 {
			t.Errorf("%d requests are under way, want one", asked)
		}
		close(hold)
		if _, err := q.Quote(t.Context(), numbered(101)); err != nil || d.open.Load() != 0 {
			t.Errorf("afterwards: %v, %d sessions are open", err, d.open.Load())
		}
	})
}

// Where there is no device, the driver's own way of opening it says so.
func TestNoDevice(t *testing.T) {
	if _, err := os.Stat("/dev/nsm"); !errors.Is(err, fs.ErrNotExist) {
		t.Skip("this machine has /dev/nsm")
	}
	if _, err := new(Quoter).Detect(t.Context()); !errors.Is(err, fs.ErrNotExist) || !strings.HasPrefix(err.Error(), "nsm: open /dev/nsm: no such file") {
		t.Errorf("got %v", err)
	}
}

// genuine is a document of a genuine module, or nil where the vectors are not at hand.
func genuine(t testing.TB) []byte {
	text, err := os.ReadFile(filepath.Join("../../../shared/vectors/nitro/attdoc-2024-09-17-debug.b64"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	document, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	return document
}

func TestGenuineDocument(t *testing.T) {
	document := genuine(t)
	if document == nil {
		t.Skip("../shared/vectors/nitro is not here")
	}
	d, err := read(document)
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2024, 9, 17, 1, 0, 0, 0, time.UTC)
	if life := d.notAfter.Sub(at); life <= 0 || life > 3*time.Hour || len(d.userData) == 64 {
		t.Errorf("got user data %x until %v", d.userData, d.notAfter)
	}
}

func FuzzRead(f *testing.F) {
	d := newDevice(f)
	data := numbered(3)
	f.Add(d.module.Document(data[:], nil, nil, d.now))
	f.Add(d.module.Document(nil, []byte("nonce"), []byte("key"), d.now))
	f.Add(append([]byte{0xd2}, d.module.Document(data[:10], nil, nil, d.now)...))
	f.Add(remake(func(p map[string]any) { p["user_data"] = inNumbers(data[:]) })(d.template))
	f.Add(remake(func(p map[string]any) { p["user_data"] = inPieces(data[:]) })(d.template))
	f.Add(encode([]any{[]byte{}, map[any]any{}, encode(map[string]any{"user_data": nil, "certificate": []byte{0x30, 0}}), []byte{}}))
	if document := genuine(f); document != nil {
		f.Add(document)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := read(b)
		if err == nil && (got.notAfter.IsZero() || !bytes.Contains(b, got.userData)) {
			t.Errorf("got user data %x until %v, which is not in the document", got.userData, got.notAfter)
		}
	})
}
