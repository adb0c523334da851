package dcap

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/confidential-token-broker/ctb/attest/tee"
)

// forgedTCBInfo2 is forgedTCBInfo in the form of the PCS API v3.
func forgedTCBInfo2() string {
	text := strings.Replace(strings.Replace(forgedTCBInfo, `"id":"SGX",`, "", 1), `"version":3`, `"version":2`, 1)
	for svn := range 3 {
		var members []string
		for i := range 16 {
			members = append(members, fmt.Sprintf(`"sgxtcbcomp%02dsvn":%d`, i+1, svn))
		}
		components := strings.TrimSuffix(strings.Repeat(fmt.Sprintf(`{"svn":%d},`, svn), 16), ",")
		text = strings.ReplaceAll(text, `"sgxtcbcomponents":[`+components+`]`, strings.Join(members, ","))
	}
	return text
}

// TestTCBInfoOfVersion2: a PCCS of the API v3 gives the same verdicts.
func TestTCBInfoOfVersion2(t *testing.T) {
	for name, change := range map[string]func(*forge){
		"the newest": func(*forge) {},
		"an old one": extensionWith(15, sgxField(1, 2, 16)),
	} {
		var got [2]tee.TCB
		for i, text := range []string{forgedTCBInfo, forgedTCBInfo2()} {
			f := newForge()
			change(f)
			f.tcbInfo = text
			r, err := f.verify(t)
			if err != nil {
				t.Fatal(err)
			}
			got[i] = r.TCB
		}
		if !reflect.DeepEqual(got[0], got[1]) {
			t.Errorf("%s: version 3 gives %+v\nversion 2 gives %+v", name, got[0], got[1])
		}
	}
}

func TestHostileTCBInfoOfVersion2(t *testing.T) {
	refuseFrom(t, func() *forge { f := newForge(); f.tcbInfo = forgedTCBInfo2(); return f }, []hostile{
		{"a component missing", tcbInfoWith(`"sgxtcbcomp16svn":2,`, ``), `TCB info: tcbLevels[0].tcb: "sgxtcbcomp16svn" is missing`},
		{"a component of the lowest level missing", tcbInfoWith(`"sgxtcbcomp03svn":1,`, ``), `TCB info: tcbLevels[1].tcb: "sgxtcbcomp03svn" is missing`},
		{"a component twice", tcbInfoWith(`"sgxtcbcomp03svn":1,`, `"sgxtcbcomp03svn":1,"sgxtcbcomp03svn":0,`), "a name may come once only"},
		{"a component above 255", tcbInfoWith(`"sgxtcbcomp03svn":1,`, `"sgxtcbcomp03svn":256,`), "TCB info: tcbLevels[1].tcb.sgxtcbcomp03svn: got a number above 255"},
		{"called version 3", tcbInfoWith(`"version":2`, `"version":3`), `TCB info: "id" is missing`},
		{"a TDX module", tcbInfoWith(`"tcbType":0`, `"tdxModule":{"mrsigner":"`+strings.Repeat("00", 48)+`","attributes":"0000000000000000","attributesMask":"FFFFFFFFFFFFFFFF"},"tcbType":0`), "TCB info: it is about SGX, but has a TDX module"},
	})
}
