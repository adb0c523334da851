package evidence

import (
	"crypto/x509"
	"fmt"
	"path/filepath"

	"github.com/confidential-token-broker/ctb/attest/snp/kds"
)

type amd = kept[kds.Platform, kds.Collateral]

// kdsFolder is where the cache's directory keeps AMD's collateral, beside Intel's.
const kdsFolder = "kds"

func (s Source) openAMD(file *kds.Collateral, root *x509.Certificate) (*amd, error) {
	k := &amd{file: file, fits: func(p kds.Platform) error {
		chain, err := file.Verify(root)
		if err == nil {
			err = chain.Valid(s.now())
		}
		if err == nil {
			err = chain.About(p)
		}
		return s.aboutFile(err)
	}}
	if s.KDS == "" {
		return k, nil
	}
	web, err := s.http()
	if err != nil {
		return nil, err
	}
	client, err := kds.Open(s.KDS, web)
	if err != nil {
		return nil, &KeyError{"kds", err}
	}
	conf := kds.CacheConfig{Source: client, Root: root, Now: s.Now}
	if s.Cache != "" {
		conf.Dir = filepath.Join(s.Cache, kdsFolder)
	}
	cache, err := kds.NewCache(conf)
	if err != nil {
		return nil, fmt.Errorf("collateral cache: %w", err)
	}
	k.cache = cache
	k.status = func() (all []Entry) {
		for _, e := range cache.Status() {
			all = append(all, Entry{e.Platform.String(), e.Err, e.DiskErr})
		}
		return all
	}
	return k, nil
}
