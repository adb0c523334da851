package dcap

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/confidential-token-broker/ctb/attest/tee"
)

// jsonTCBInfo is TCB info of all versions and environments, as encoding/json reads it.
type jsonTCBInfo struct {
	ID, FMSPC, PCEID                          string
	Version, TCBType, TCBEvaluationDataNumber uint64
	IssueDate, NextUpdate                     time.Time
	TDXModule                                 *jsonSigner
	TDXModuleIdentities                       []jsonModule
	TCBLevels                                 []struct {
		TCB         map[string]json.RawMessage
		TCBDate     time.Time
		TCBStatus   tee.Status
		AdvisoryIDs []string
	}
}

// jsonSigner is what a module of the major version 0 has; an id and levels would say nothing of it.
type jsonSigner struct{ MRSIGNER, Attributes, AttributesMask string }

type jsonModule struct {
	jsonSigner
	ID        string
	TCBLevels []struct {
		TCB         struct{ ISVSVN uint16 }
		TCBDate     time.Time
		TCBStatus   tee.Status
		AdvisoryIDs []string
	}
}

// FuzzTCBInfo compares our reading of TCB info with encoding/json's.
func FuzzTCBInfo(f *testing.F) {
	more := strings.Replace(forgedTDX(), `"tdxModule":{`, `"tdxModule":{"id":"TDX_00","tcbLevels":7,`, 1)
	for _, text := range []string{forgedTCBInfo, forgedTCBInfo2(), forgedTDX(), more} {
		f.Add(text)
		f.Add(strings.ReplaceAll(text, ",", " ,\n"))
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := parseTCBInfo(text, "")
		if err != nil {
			return
		}
		var want jsonTCBInfo
		if err := json.Unmarshal([]byte(text), &want); err != nil {
			t.Fatalf("encoding/json refuses it: %v", err)
		}
		id := map[string]string{"SGX": "sgx", "TDX": "tdx", "": "sgx"}[want.ID]
		if got.tee != id || got.version != want.Version || (want.ID == "") != (want.Version == 2) || want.TCBType != 0 || uint64(got.evaluation) != want.TCBEvaluationDataNumber ||
			!sameHex(got.fmspc[:], want.FMSPC) || !sameHex(got.pceID[:], want.PCEID) ||
			!got.window.NotBefore.Equal(want.IssueDate) || !got.window.NotAfter.Equal(want.NextUpdate) || len(got.levels) != len(want.TCBLevels) {
			t.Fatalf("got %+v\nwant %+v", got, want)
		}
		for i, level := range want.TCBLevels {
			l := &got.levels[i]
			sameVerdict(t, l.verdict, level.TCBDate, level.TCBStatus, level.AdvisoryIDs)
			if number(t, level.TCB["pcesvn"]) != int(l.pceSVN) {
				t.Errorf("level %d: got the pcesvn %d", i, l.pceSVN)
			}
			if want.Version == 3 {
				sameComponents(t, l.sgx, level.TCB["sgxtcbcomponents"])
			}
			for k := 0; k < 16 && want.Version == 2; k++ {
				if number(t, level.TCB[fmt.Sprintf("sgxtcbcomp%02dsvn", k+1)]) != int(l.sgx[k]) {
					t.Errorf("level %d: got the components %v", i, l.sgx)
				}
			}
			if want.ID == "TDX" {
				sameComponents(t, l.tdx, level.TCB["tdxtcbcomponents"])
			}
		}
		if len(got.modules) != len(want.TDXModuleIdentities) || (got.module != nil) != (want.TDXModule != nil) || (got.module != nil) != (want.ID == "TDX") {
			t.Fatalf("got the module %v, %d others", got.module, len(got.modules))
		}
		if got.module != nil {
			sameModule(t, got.module, &jsonModule{jsonSigner: *want.TDXModule})
		}
		for i := range got.modules {
			sameModule(t, got.modules[i], &want.TDXModuleIdentities[i])
		}
	})
}

func sameHex(got []byte, want string) bool { return hex.EncodeToString(got) == strings.ToLower(want) }

func number(t *testing.T, raw json.RawMessage) (n int) {
	t.Helper()
	if err := json.Unmarshal(raw, &n); err != nil {
		t.Fatal(err)
	}
	return n
}

func sameComponents(t *testing.T, got [16]uint8, raw json.RawMessage) {
	t.Helper()
	var want []struct{ SVN uint8 }
	if err := json.Unmarshal(raw, &want); err != nil || len(want) != 16 {
		t.Fatal(len(want), err)
	}
	for i := range want {
		if got[i] != want[i].SVN {
			t.Errorf("component %d: got %d, want %d", i, got[i], want[i].SVN)
		}
	}
}

func sameModule(t *testing.T, got *moduleIdentity, want *jsonModule) {
	t.Helper()
	if got.id != want.ID || !sameHex(got.mrsigner[:], want.MRSIGNER) || !sameHex(got.attributes[:], want.Attributes) ||
		!sameHex(got.attributesMask[:], want.AttributesMask) || len(got.levels) != len(want.TCBLevels) {
		t.Fatalf("got %+v\nwant %+v", got, want)
	}
	for i, level := range want.TCBLevels {
		if got.levels[i].isvSVN != level.TCB.ISVSVN {
			t.Errorf("level %d: got %+v, want %+v", i, got.levels[i], level)
		}
		sameVerdict(t, got.levels[i].verdict, level.TCBDate, level.TCBStatus, level.AdvisoryIDs)
	}
}

func sameVerdict(t *testing.T, got verdict, date time.Time, status tee.Status, advisories []string) {
	t.Helper()
	if got.status != status || !got.date.Equal(date) || strings.Join(got.advisories, "\n") != strings.Join(advisories, "\n") {
		t.Errorf("got %+v, want %v %v %v", got, date, status, advisories)
	}
}
