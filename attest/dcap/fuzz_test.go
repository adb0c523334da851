package dcap

import (
	"bytes"
	"context"
	"encoding/asn1"
	"encoding/hex"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/confidential-token-broker/ctb/attest/tee"
)

// FuzzParseQuote: what parses marshals to the same bytes, and no quote but the
// genuine one passes the checks that need no collateral.
func FuzzParseQuote(f *testing.F) {
	genuine := original(f, "quote.bin")
	e, _ := newForge().make(f)
	f.Add(genuine)
	f.Add(e.Quote)
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

// FuzzTCBInfo compares our reading of TCB info with encoding/json's.
func FuzzTCBInfo(f *testing.F) {
	f.Add(forgedTCBInfo)
	f.Add(strings.ReplaceAll(forgedTCBInfo, ",", " ,\n"))
	f.Fuzz(func(t *testing.T, text string) {
		got, err := parseTCBInfo(text)
		if err != nil {
			return
		}
		var want struct {
			ID, FMSPC, PCEID                          string
			Version, TCBType, TCBEvaluationDataNumber uint64
			IssueDate, NextUpdate                     time.Time
			TCBLevels                                 []struct {
				TCB struct {
					SGXTCBComponents []struct{ SVN uint8 }
					PCESVN           uint16
				}
				TCBStatus   tee.Status
				AdvisoryIDs []string
			}
		}
		if err := json.Unmarshal([]byte(text), &want); err != nil {
			t.Fatalf("encoding/json refuses it: %v", err)
		}
		if want.ID != "SGX" || want.Version != 3 || want.TCBType != 0 || uint64(got.evaluation) != want.TCBEvaluationDataNumber ||
			hex.EncodeToString(got.fmspc[:]) != strings.ToLower(want.FMSPC) || hex.EncodeToString(got.pceID[:]) != strings.ToLower(want.PCEID) ||
			!got.window.NotBefore.Equal(want.IssueDate) || !got.window.NotAfter.Equal(want.NextUpdate) || len(got.levels) != len(want.TCBLevels) {
			t.Fatalf("got %+v\nwant %+v", got, want)
		}
		for i, level := range want.TCBLevels {
			components := got.levels[i].svn[:]
			for k, c := range level.TCB.SGXTCBComponents {
				if components[k] != c.SVN {
					t.Errorf("level %d, component %d: got %d, want %d", i, k, components[k], c.SVN)
				}
			}
			sameVerdict(t, got.levels[i].verdict, level.TCBStatus, level.AdvisoryIDs)
			if len(level.TCB.SGXTCBComponents) != 16 || got.levels[i].pceSVN != level.TCB.PCESVN {
				t.Errorf("level %d: got %+v, want %+v", i, got.levels[i], level)
			}
		}
	})
}

// FuzzQEIdentity compares our reading of QE identity with encoding/json's.
func FuzzQEIdentity(f *testing.F) {
	f.Add(forgedQEIdentity)
	f.Add(strings.ReplaceAll(forgedQEIdentity, ",", " ,\n"))
	f.Fuzz(func(t *testing.T, text string) {
		got, err := parseQEIdentity(text)
		if err != nil {
			return
		}
		var want struct {
			ID, Miscselect, MiscselectMask, Attributes, AttributesMask, MRSIGNER string
			Version, TCBEvaluationDataNumber                                     uint64
			ISVProdID                                                            uint16
			IssueDate, NextUpdate                                                time.Time
			TCBLevels                                                            []struct {
				TCB         struct{ ISVSVN uint16 }
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
			want.ID != "QE" || want.Version != 2 || uint64(got.evaluation) != want.TCBEvaluationDataNumber || got.isvProdID != want.ISVProdID ||
			!got.window.NotBefore.Equal(want.IssueDate) || !got.window.NotAfter.Equal(want.NextUpdate) || len(got.levels) != len(want.TCBLevels) {
			t.Fatalf("got %+v\nwant %+v", got, want)
		}
		for i, level := range want.TCBLevels {
			sameVerdict(t, got.levels[i].verdict, level.TCBStatus, level.AdvisoryIDs)
			if got.levels[i].isvSVN != level.TCB.ISVSVN {
				t.Errorf("level %d: got %+v, want %+v", i, got.levels[i], level)
			}
		}
	})
}

func sameVerdict(t *testing.T, got verdict, status tee.Status, advisories []string) {
	t.Helper()
	if got.status != status || strings.Join(got.advisories, "\n") != strings.Join(advisories, "\n") {
		t.Errorf("got %+v, want %v %v", got, status, advisories)
	}
}
