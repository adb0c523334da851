package nitro_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/confidential-token-broker/ctb/attest/nitro"
	"github.com/confidential-token-broker/ctb/attest/tee"
)

// genuineAt is within the three hours of the genuine document's leaf.
var genuineAt = time.Date(2024, 9, 17, 1, 0, 0, 0, time.UTC)

// genuineDocument is one of a debug enclave. It is among the shared vectors, which are not part of the project; without them the test is skipped.
func genuineDocument(t testing.TB) []byte {
	t.Helper()
	path := filepath.Join("..", "..", "..", "shared", "vectors", "nitro", "attdoc-2024-09-17-debug.b64")
	text, err := os.ReadFile(path)
	if os.IsNotExist(err) {
		t.Skipf("needs the shared vectors: %s is absent", path)
	}
	if err != nil {
		t.Fatal(err)
	}
	doc, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

// verifyGenuine judges a document under AWS's root.
func verifyGenuine(t testing.TB, doc []byte, at time.Time) (*tee.Report, error) {
	t.Helper()
	return new(nitro.Verifier).Verify(t.Context(), &tee.Evidence{Platform: tee.Nitro, Quote: doc}, at)
}

// TestGenuineDocument: all facts of a document that AWS's hardware has made.
func TestGenuineDocument(t *testing.T) {
	doc := genuineDocument(t)
	r, err := verifyGenuine(t, doc, genuineAt)
	if err != nil {
		t.Fatal(err)
	}
	if r.TEE != tee.NitroEnclave || r.Simulated || !r.Debug || r.Data != [64]byte{} || r.TCB.Status != tee.NotJudged || !r.At.Equal(genuineAt) {
		t.Errorf("got %+v, want a report on a debug enclave, not simulated, its user data of another size", r)
	}
	zero := strings.Repeat("00", 48)
	want := map[string]string{
		"pcr3": "671ca1e328f75015b2aeee60639cc5252bc835d8bb690444d1f8e2bf4260f73dc1b71e07a14a770c7d0becac6eb3b53f",
		"pcr4": "d352cfa31b8dc5f4856c9fa8181b19ed12f5da23883ac4ec729530f50dc1d37f1ac3876a7af39bd4de7a2aead14d14cb",
	}
	for _, n := range []string{"0", "1", "2", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15"} {
		want["pcr"+n] = zero
	}
	got := map[string]string{}
	for name, value := range r.Measurements {
		got[name] = hex.EncodeToString(value)
	}
	if !maps.Equal(got, want) {
		t.Errorf("got the measurements %v, want %v", got, want)
	}
	aws := r.AWS
	if aws.ModuleID != "i-0bbf1bfe232b8c2ce-enc0191fc27458c1d41" || !aws.Timestamp.Equal(time.Date(2024, 9, 17, 0, 47, 59, 695e6, time.UTC)) {
		t.Errorf("got the module %q at %v", aws.ModuleID, aws.Timestamp)
	}
	data := "1220ecf94fb7bc410d9f93b00069f22bb257885297bdcee33a87e9f306c7d64281dc1220" + strings.Repeat("00", 32)
	if hex.EncodeToString(aws.UserData) != data || string(aws.PublicKey) != "dummy" || !bytes.Equal(aws.Nonce, append(make([]byte, 19), 1)) {
		t.Errorf("got the user data %x, public key %q, nonce %x", aws.UserData, aws.PublicKey, aws.Nonce)
	}
	checkGenuineBasis(t, r)
	if tagged, err := verifyGenuine(t, append([]byte{0xd2}, doc...), genuineAt); err != nil || tagged.AWS.ModuleID != aws.ModuleID {
		t.Errorf("with its tag: %v", err)
	}
}

func checkGenuineBasis(t *testing.T, r *tee.Report) {
	t.Helper()
	const suffix = ".us-east-1.aws.nitro-enclaves"
	want := []string{
		"root certificate, by aws.nitro-enclaves, 2019-10-28T13:28:05Z to 2049-10-28T14:28:05Z",
		"certificate of the CA 651a12adde5982f3" + suffix + ", by aws.nitro-enclaves, 2024-09-14T13:32:55Z to 2024-10-04T14:32:55Z",
		"certificate of the CA 504c8513d430c5c5.zonal" + suffix + ", by 651a12adde5982f3" + suffix + ", 2024-09-16T07:16:19Z to 2024-09-22T03:16:19Z",
		"certificate of the CA i-0bbf1bfe232b8c2ce" + suffix + ", by 504c8513d430c5c5.zonal" + suffix + ", 2024-09-16T14:23:54Z to 2024-09-17T14:23:54Z",
		"certificate of the security module i-0bbf1bfe232b8c2ce-enc0191fc27458c1d41.us-east-1.aws, by i-0bbf1bfe232b8c2ce" + suffix +
			", 2024-09-17T00:47:56Z to 2024-09-17T03:47:59Z",
	}
	var got []string
	for _, b := range r.Basis {
		got = append(got, b.What+", by "+b.SignedBy+", "+b.NotBefore.Format(time.RFC3339)+" to "+b.NotAfter.Format(time.RFC3339))
	}
	if !slices.Equal(got, want) {
		t.Errorf("got the basis\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if last := r.Basis[4].Window; r.Collateral != last {
		t.Errorf("got the window %v, want that of the leaf, %v", r.Collateral, last)
	}
}

// TestGenuineInstants: the three hours of the leaf, both ends included, and none other.
func TestGenuineInstants(t *testing.T) {
	doc := genuineDocument(t)
	for at, want := range map[string]string{
		"2024-09-17T00:47:55Z":   "not valid before 2024-09-17T00:47:56Z, judged at 2024-09-17T00:47:55Z",
		"2024-09-17T00:47:56Z":   "",
		"2024-09-17T03:47:59Z":   "",
		"2024-09-17T03:47:59.5Z": "not valid after 2024-09-17T03:47:59Z",
		"2024-09-17T03:48:00Z":   "not valid after 2024-09-17T03:47:59Z, judged at 2024-09-17T03:48:00Z",
		"2026-03-01T12:00:00Z":   "not valid after",
	} {
		instant, err := time.Parse(time.RFC3339Nano, at)
		if err != nil {
			t.Fatal(err)
		}
		_, err = verifyGenuine(t, doc, instant)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: got %v, want %q", at, err, want)
		}
	}
}

// insignificant are the bits of the genuine document that may be flipped and leave it genuine. There are none: what is around
// the signed part has one encoding, every certificate is DER, and the signatures' own frames are read strictly.
var insignificant = []int{}

// TestBitFlips flips single bits of the genuine document: every one around the part that is signed and every 11th within, where most
// cost six verifications and all of them a minute and more. (Under -short and the race detector: every 151st.)
func TestBitFlips(t *testing.T) {
	const frame, signature = 8, 98 // bytes before what is signed and behind it
	doc := genuineDocument(t)
	stride := 11
	if testing.Short() || raceEnabled {
		stride = 151
	}
	bits := make(chan int)
	var all sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		all.Go(func() {
			for bit := range bits {
				flipped := bytes.Clone(doc)
				flipped[bit/8] ^= 1 << (bit % 8)
				_, err := verifyGenuine(t, flipped, genuineAt)
				if accepted := slices.Contains(insignificant, bit); accepted != (err == nil) {
					t.Errorf("with bit %d of byte %d flipped: got %v, want it accepted: %t", bit%8, bit/8, err, accepted)
				}
			}
		})
	}
	for bit := range 8 * len(doc) {
		around := bit < 8*frame || bit >= 8*(len(doc)-signature)
		if bit%stride == 0 || around && stride == 11 {
			bits <- bit
		}
	}
	close(bits)
	all.Wait()
}

// TestShorter: no beginning of the genuine document is one, nor is it with anything behind it.
func TestShorter(t *testing.T) {
	doc := genuineDocument(t)
	for n := range len(doc) {
		if _, err := verifyGenuine(t, doc[:n], genuineAt); err == nil {
			t.Errorf("%d bytes of it are genuine", n)
		}
	}
	for _, more := range []string{"\x00", "\xf6", "\xff", string(doc)} {
		if _, err := verifyGenuine(t, append(bytes.Clone(doc), more...), genuineAt); err == nil {
			t.Errorf("%x behind it changes nothing", more)
		}
	}
}
