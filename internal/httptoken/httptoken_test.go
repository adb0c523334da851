package httptoken

import "testing"

// TestValid asks about each byte: the letters, the digits and these signs are what the RFC lists.
func TestValid(t *testing.T) {
	const listed = "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	want := map[byte]bool{}
	for i := range len(listed) {
		want[listed[i]] = true
	}
	for c := range 256 {
		if got := Valid("a" + string([]byte{byte(c)})); got != want[byte(c)] {
			t.Errorf("%q: got %v", byte(c), got)
		}
	}
	if Valid("") {
		t.Error("the empty text is a token")
	}
}
