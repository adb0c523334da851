package dcap

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/asn1"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"math/big"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/confidential-token-broker/ctb/attest/tee"
)

// FuzzParseQuote: what parses marshals to the same bytes, and no quote but the
// genuine one passes the checks that need no collateral.
func FuzzParseQuote(f *testing.F) {
	genuine := original(f, "quote.bin")
	f.Add(genuine)
	for _, kind := range kinds {
		e, _ := kind.forge().make(f)
		f.Add(e.Quote)
		f.Add(append(bytes.Clone(e.Quote), 0, 0, 0))
	}
	f.Add(genuine[:1100])
	f.Add(append(bytes.Clone(genuine), 0))
	f.Fuzz(func(t *testing.T, data []byte) {
		_, err := new(Verifier).Verify(context.Background(), &tee.Evidence{Platform: "dcap", Quote: data}, forgedAt)
		if err == nil || errors.Is(err, ErrNoCollateral) && !bytes.HasPrefix(data, genuine[:432]) {
			t.Errorf("verifying says %v", err)
		}
		if bytes.Equal(data, genuine) && !errors.Is(err, ErrNoCollateral) {
			t.Errorf("verifying the genuine quote says %v", err)
		}
		q, err := ParseQuote(data)
		if err != nil {
			return
		}
		again, err := q.Marshal()
		if err != nil || !bytes.Equal(again, data) {
			t.Errorf("marshals to %x, %v", again, err)
		}
		if chain, err := q.Signature.Certification.Chain(); err == nil {
			for _, cert := range chain {
				_, _ = ParsePCK(cert) // must not panic
			}
		}
		_, _ = q.Platform() // nor this
	})
}

// FuzzParseCollateral: what parses marshals to the same collateral, and is JSON to the standard library too.
func FuzzParseCollateral(f *testing.F) {
	e, v := newForge().make(f)
	f.Add(e.Collateral)
	f.Add([]byte(`{"pck_crl":"00","pck_certificate_chain":null}`))
	f.Add([]byte(strings.ReplaceAll(string(e.Collateral), "-----", `\u002d----`)))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := ParseCollateral(data)
		if err != nil {
			return
		}
		if !json.Valid(data) {
			t.Error("it is no JSON")
		}
		again, err := ParseCollateral(c.Marshal())
		if err != nil || !reflect.DeepEqual(c, again) {
			t.Errorf("marshals to %+v, %v", again, err)
		}
		_, _ = v.Verify(context.Background(), &tee.Evidence{Platform: "dcap", Quote: e.Quote, Collateral: data}, forgedAt) // must not panic
	})
}

// FuzzPCKExtension compares our reading of the extension with encoding/asn1's.
func FuzzPCKExtension(f *testing.F) {
	f.Add(sgxExtension(standardFields()...))
	q, err := ParseQuote(original(f, "quote.bin"))
	if err != nil {
		f.Fatal(err)
	}
	chain, err := q.Signature.Certification.Chain()
	if err != nil {
		f.Fatal(err)
	}
	for _, ext := range chain[0].Extensions {
		if ext.Id.Equal(oidSGX) {
			f.Add(ext.Value)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := parsePCK(data)
		if err != nil {
			return
		}
		want := new(PCK)
		for number, value := range asn1Fields(t, data) {
			switch number {
			case 1:
				copy(want.PPID[:], value.Bytes)
			case 2:
				for number, value := range asn1Fields(t, value.FullBytes) {
					switch number {
					case 17:
						want.PCESVN = uint16(asn1Int(t, value))
					case 18:
						copy(want.CPUSVN[:], value.Bytes)
					default:
						want.SVN[number-1] = uint8(asn1Int(t, value))
					}
				}
			case 3:
				copy(want.PCEID[:], value.Bytes)
			case 4:
				copy(want.FMSPC[:], value.Bytes)
			case 5:
				want.SGXType = value.Bytes[0]
			case 6:
				copy(want.PlatformInstance[:], value.Bytes)
			case 7:
				for number, value := range asn1Fields(t, value.FullBytes) {
					*[]*bool{1: &want.DynamicPlatform, 2: &want.CachedKeys, 3: &want.SMT}[number] = value.Bytes[0] == 0xff
				}
			}
		}
		if *got != *want {
			t.Errorf("got %+v\nwant %+v", *got, *want)
		}
	})
}

func asn1Fields(t *testing.T, data []byte) map[int]asn1.RawValue {
	t.Helper()
	var pairs []struct {
		OID   asn1.ObjectIdentifier
		Value asn1.RawValue
	}
	if rest, err := asn1.Unmarshal(data, &pairs); err != nil || len(rest) > 0 {
		t.Fatalf("encoding/asn1 reads %x otherwise: %v", data, err)
	}
	fields := make(map[int]asn1.RawValue)
	for _, pair := range pairs {
		fields[pair.OID[len(pair.OID)-1]] = pair.Value
	}
	if len(fields) != len(pairs) {
		t.Fatalf("a field comes twice in %x", data)
	}
	return fields
}

func asn1Int(t *testing.T, value asn1.RawValue) (n int) {
	t.Helper()
	if _, err := asn1.Unmarshal(value.FullBytes, &n); err != nil {
		t.Fatal(err)
	}
	return n
}

// FuzzQEIdentity compares our reading of QE identity with encoding/json's.
func FuzzQEIdentity(f *testing.F) {
	f.Add(forgedQEIdentity)
	f.Add(strings.ReplaceAll(forgedQEIdentity, ",", " ,\n"))
	f.Add(forgedTDQEIdentity)
	f.Fuzz(func(t *testing.T, text string) {
		id := "QE"
		got, err := parseQEIdentity(text, "sgx")
		if err != nil {
			if got, err = parseQEIdentity(text, "tdx"); err != nil {
				return
			}
			id = "TD_QE"
		}
		var want struct {
			ID, Miscselect, MiscselectMask, Attributes, AttributesMask, MRSIGNER string
			Version, TCBEvaluationDataNumber                                     uint64
			ISVProdID                                                            uint16
			IssueDate, NextUpdate                                                time.Time
			TCBLevels                                                            []struct {
				TCB         struct{ ISVSVN uint16 }
				TCBDate     time.Time
				TCBStatus   tee.Status
				AdvisoryIDs []string
			}
		}
		if err := json.Unmarshal([]byte(text), &want); err != nil {
			t.Fatalf("encoding/json refuses it: %v", err)
		}
		for s, field := range map[string][]byte{
			want.Miscselect: got.miscSelect[:], want.MRSIGNER: got.mrsigner[:], want.Attributes: got.attributes[:],
		} {
			if hex.EncodeToString(field) != strings.ToLower(s) {
				t.Errorf("got %x, want %s", field, s)
			}
		}
		if hex.EncodeToString(got.miscSelectMask[:]) != strings.ToLower(want.MiscselectMask) || hex.EncodeToString(got.attributesMask[:]) != strings.ToLower(want.AttributesMask) ||
			want.ID != id || want.Version != 2 || uint64(got.evaluation) != want.TCBEvaluationDataNumber || got.isvProdID != want.ISVProdID ||
			!got.window.NotBefore.Equal(want.IssueDate) || !got.window.NotAfter.Equal(want.NextUpdate) || len(got.levels) != len(want.TCBLevels) {
			t.Fatalf("got %+v\nwant %+v", got, want)
		}
		for i, level := range want.TCBLevels {
			sameVerdict(t, got.levels[i].verdict, level.TCBDate, level.TCBStatus, level.AdvisoryIDs)
			if got.levels[i].isvSVN != level.TCB.ISVSVN {
				t.Errorf("level %d: got %+v, want %+v", i, got.levels[i], level)
			}
		}
	})
}

// FuzzCRL: no list passes but what the issuer signed.
func FuzzCRL(f *testing.F) {
	forge := newForge()
	e, v := forge.make(f)
	c, err := ParseCollateral(e.Collateral)
	if err != nil {
		f.Fatal(err)
	}
	forge.rootCRL.RevokedCertificateEntries = []x509.RevocationListEntry{{SerialNumber: big.NewInt(9), RevocationTime: forgedAt, ReasonCode: 1}}
	seeds := [][]byte{c.RootCACRL, list(f, forge.rootCRL, forge.root, forge.rootKey)}
	f.Add(c.PCKCRL)
	f.Add(endless(f, forge.root, forge.rootKey))
	for _, seed := range seeds {
		f.Add(seed)
		f.Add(append(bytes.Clone(seed), 0))
		f.Add(within(seed, 0x05, 0))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		l, err := verifyCRL("root CRL", data, v.Root)
		if err != nil {
			return
		}
		if !slices.ContainsFunc(seeds, func(seed []byte) bool { return bytes.Equal(seed, data) }) {
			t.Errorf("accepted as signed: %x", data)
		}
		if err := l.check("root", v.Root); err != nil || l.basis.NotAfter.IsZero() {
			t.Errorf("got %v, %v", err, l.basis)
		}
	})
}

// within returns a DER SEQUENCE with something behind what it has.
func within(sequence []byte, more ...byte) []byte {
	var s asn1.RawValue
	if _, err := asn1.Unmarshal(sequence, &s); err != nil {
		panic(err)
	}
	return der2(tagSequence, s.Bytes, more)
}

// FuzzTDBody: a body of TDX is read as Intel's tables have it, and written so again.
func FuzzTDBody(f *testing.F) {
	for _, kind := range kinds {
		if forge := kind.forge(); forge.quote.TD != nil {
			f.Add(forge.quote.TD.Marshal())
		}
	}
	f.Add(bytes.Repeat([]byte("trust domain"), 54))
	e, _ := newTDForge(5).make(f)
	f.Fuzz(func(t *testing.T, body []byte) {
		kind := byte(bodyTD15)
		if len(body) != tdReport15Size {
			kind = bodyTD10
		}
		data := slices.Concat(e.Quote[:headerSize], []byte{kind, 0}, binary.LittleEndian.AppendUint32(nil, uint32(len(body))), body, e.Quote[headerSize+6+tdReport15Size:])
		q, err := ParseQuote(data)
		if fits := len(body) == tdReport10Size || len(body) == tdReport15Size; (err == nil) != fits {
			t.Fatalf("a body of %d bytes: got %v", len(body), err)
		}
		if err != nil {
			return
		}
		if again, err := q.Marshal(); err != nil || !bytes.Equal(again, data) || !bytes.Equal(q.TD.Marshal(), body) {
			t.Errorf("marshals to %x, %v", again, err)
		}
		want := map[string][]byte{
			"tee_tcb_svn": body[:16], "mrseam": body[16:64], "mrsignerseam": body[64:112], "seam_attributes": body[112:120], "td_attributes": body[120:128],
			"xfam": body[128:136], "mrtd": body[136:184], "mrconfigid": body[184:232], "mrowner": body[232:280], "mrownerconfig": body[280:328],
			"rtmr0": body[328:376], "rtmr1": body[376:424], "rtmr2": body[424:472], "rtmr3": body[472:520],
		}
		if kind == bodyTD15 {
			want["tee_tcb_svn2"], want["mrservicetd"] = body[584:600], body[600:648]
		}
		if got := q.TD.measurements(); !reflect.DeepEqual(got, want) || !bytes.Equal(q.TD.ReportData[:], body[520:584]) || q.TD.Debug() != (body[120] != 0) {
			t.Errorf("got %x\nwant %x", got, want)
		}
	})
}
