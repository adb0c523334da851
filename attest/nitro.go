package attest

// soundNitro refuses a build that every image matches which nobody signed.
func soundNitro(b *Build, key string) error {
	if b.Measurements["pcr0"] == nil && zero(b.Measurements["pcr8"]) {
		return faultf(key+".pcr8", "is zero, as of every image that is not signed; name the pcr0 of the image")
	}
	return nil
}
