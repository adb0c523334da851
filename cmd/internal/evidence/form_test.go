package evidence

import "testing"

// FuzzParseFile: a file is of one maker or refused.
func FuzzParseFile(f *testing.F) {
	for _, s := range []string{
		`{"leaf": "", "ca": "", "root": "", "crl": "AA=="}`, `{"tcb_info": "{}"}`, `{"crl": "AA==", "tcb_info": "{}"}`, `{}`, `[]`, `{"crl": "AA=="} {}`, `{"crl"`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := ParseFile(data)
		switch {
		case err != nil && file != nil:
			t.Errorf("got %+v beside %v", file, err)
		case err == nil && (file.DCAP == nil) == (file.SNP == nil):
			t.Errorf("got %+v, want collateral of one maker", file)
		}
	})
}
