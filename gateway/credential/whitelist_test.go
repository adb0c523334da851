package credential

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"
)

func hashed(key string) string {
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:])
}

// notarys is a list as the notary server's fixture has it.
const notarys = `"Name","ApiKey","CreatedAt"
"Jonas Nielsen","test_api_key_0","2023-09-18T07:38:53Z"
"Eren Jaeger","test_api_key_1","2023-10-18T07:38:53Z"
`

func TestParseWhitelistAccepts(t *testing.T) {
	for name, c := range map[string]struct{ list, key, who string }{
		"the notary's":                    {notarys, "test_api_key_0", "Jonas Nielsen"},
		"its last line":                   {notarys, "test_api_key_1", "Eren Jaeger"},
		"without an end of line":          {strings.TrimSuffix(notarys, "\n"), "test_api_key_1", "Eren Jaeger"},
		"with CRLF":                       {strings.ReplaceAll(notarys, "\n", "\r\n"), "test_api_key_1", "Eren Jaeger"},
		"with a byte order mark":          {"\ufeff" + notarys, "test_api_key_0", "Jonas Nielsen"},
		"with blank lines":                {strings.ReplaceAll(notarys, "\n", "\n\n"), "test_api_key_1", "Eren Jaeger"},
		"without quotes":                  {"Name,ApiKey\nops,k1\n", "k1", "ops"},
		"another order":                   {"CreatedAt,ApiKey,Name\n,k1,ops\n", "k1", "ops"},
		"the key last":                    {"CreatedAt,Name,ApiKey\n,ops,k1\n", "k1", "ops"},
		"a key with a comma":              {"Name,ApiKey\nops,\"k,1\"\n", "k,1", "ops"},
		"a key with a quote":              {"Name,ApiKey\nops,\"k\"\"1\"\n", `k"1`, "ops"},
		"a key with a space":              {"Name,ApiKey\nops,Bearer k1\n", "Bearer k1", "ops"},
		"a key beyond ASCII":              {"Name,ApiKey\nops,schlüssel\n", "schlüssel", "ops"},
		"the longest key":                 {"Name,ApiKey\nops," + strings.Repeat("k", MaxKey) + "\n", strings.Repeat("k", MaxKey), "ops"},
		"no name":                         {"Name,ApiKey\n,k1\n", "k1", ""},
		"one name for two keys":           {"Name,ApiKey\nops,k1\nops,k2\n", "k2", "ops"},
		"a hash":                          {"Name,ApiKeySha256\nops," + hashed("k1") + "\n", "k1", "ops"},
		"a hash in capitals":              {"Name,ApiKeySha256\nops," + strings.ToUpper(hashed("k1")) + "\n", "k1", "ops"},
		"a hash without an end of line":   {"Name,ApiKeySha256\nops," + hashed("k1"), "k1", "ops"},
		"a key that looks like a hash":    {"Name,ApiKey\nops," + hashed("k1") + "\n", hashed("k1"), "ops"},
		"a creation that nobody can read": {"Name,ApiKey,CreatedAt\nops,k1,yesterday\n", "k1", "ops"},
	} {
		w, err := ParseWhitelist([]byte(c.list))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		who := w.find(c.key)
		if who == nil || who.Name != c.who || len(who.ID) > 64 || !strings.HasPrefix(who.ID, "key:") {
			t.Errorf("%s: got %+v, want %q", name, who, c.who)
		}
		for _, other := range []string{"", c.key + "x", c.key[1:], strings.ToUpper(c.key) + "X", hashed(c.key), c.who + "?", "Name", "ApiKey", "ApiKeySha256"} {
			if w.find(other) != nil {
				t.Errorf("%s: %q was let in", name, other)
			}
		}
	}
}

func TestParseWhitelistRefuses(t *testing.T) {
	const head = "Name,ApiKey\nops,SECRET1\n"
	hash := hashed("SECRET1")
	for name, c := range map[string]struct{ list, want string }{
		"nothing":                        {"", "line 1: the list is empty"},
		"blank lines alone":              {"\n \r\n\t\n", "line 1: the list is empty"},
		"a byte order mark alone":        {"\ufeff", "line 1: the list is empty"},
		"a header alone":                 {"Name,ApiKey\n", "line 1: the list has a header and no key"},
		"an empty key":                   {head + "eve,\n", "line 3: the key is empty"},
		"an empty key in quotes":         {head + `eve,""` + "\n", "line 3: the key is empty"},
		"a key of space":                 {head + "eve,   \n", "line 3: the key begins or ends with space"},
		"a space before the key":         {head + "eve, SECRET2\n", "line 3: the key begins or ends with space"},
		"a key twice":                    {head + "bob,SECRET2\n\neve,SECRET1\n", "line 5: the key is that of line 2 as well"},
		"a hash twice":                   {"Name,ApiKeySha256\nops," + hash + "\neve," + strings.ToUpper(hash) + "\n", "line 3: the key is that of line 2 as well"},
		"a key and then its hash":        {head + "eve," + hash + "\n", "line 3: the key is the SHA-256 of the one in line 2"},
		"a hash and then its key":        {"Name,ApiKey\neve," + hash + "\nops,SECRET1\n", "line 2: the key is the SHA-256 of the one in line 3"},
		"too few fields":                 {head + "SECRET2\n", "line 3: got 1 fields, want 2 as in the header"},
		"too many fields":                {head + "eve,SECRET2,2023\n", "line 3: got 3 fields, want 2"},
		"an open quote":                  {head + `eve,"SECRET2`, "line 3: a quote is not closed"},
		"an open quote with lines in it": {head + "\"eve,SECRET2\nbob,SECRET3\n", "line 3: a quote is not closed"},
		"text behind a quote":            {head + `eve,"SECRET2"x` + "\n", "line 3: a quote is not closed, or has text behind it"},
		"a quote in a bare field":        {head + `eve,SEC"RET2` + "\n", `line 3: bare "`},
		"a key that ends with the file":  {head + "eve,SECRE", "line 3: the key ends with the file and may be cut off"},
		"the same in quotes":             {head + `eve,"SECRE"`, "line 3: the key ends with the file and may be cut off"},
		"a name that ends with the file": {"ApiKey,Name\nSECRET1,ops\nSECRET2,dev", "line 3: the name ends with the file and may be cut off"},
		"no header":                      {"Jonas,SECRET1\nEren,SECRET2\n", "line 1: column 1 is none of Name, ApiKey, ApiKeySha256, CreatedAt"},
		"no column of names":             {"ApiKey,CreatedAt\nSECRET1,2023\n", "line 1: column Name is missing"},
		"no column of keys":              {"Name,CreatedAt\nops,2023\n", "line 1: column ApiKey is missing, or ApiKeySha256"},
		"both columns of keys":           {"Name,ApiKey,ApiKeySha256\nops,SECRET1,\n", "line 1: columns ApiKey and ApiKeySha256 are both there"},
		"an unknown column":              {"Name,ApiKey,Role\nops,SECRET1,admin\n", "line 1: column 3 is none of"},
		"a column twice":                 {"Name,ApiKey,ApiKey\nops,SECRET1,SECRET2\n", "line 1: column ApiKey stands twice"},
		"a column in lower case":         {"name,ApiKey\nops,SECRET1\n", "line 1: column 1 is none of Name, ApiKey, ApiKeySha256, CreatedAt; want exactly Name"},
		"a column with space":            {"Name, ApiKey\nops,SECRET1\n", "column 2 is none of Name, ApiKey, ApiKeySha256, CreatedAt; want exactly ApiKey"},
		"semicolons":                     {"Name;ApiKey\nops;SECRET1\n", "want commas between columns"},
		"an empty column":                {"Name,ApiKey,\nops,SECRET1,\n", "line 1: column 3 is none of"},
		"a short hash":                   {"Name,ApiKeySha256\nops,abc\n", "line 2: ApiKeySha256 has 3 characters, want 64 hex digits"},
		"a hash that is none":            {"Name,ApiKeySha256\nops," + strings.Repeat("x", 64) + "\n", "line 2: ApiKeySha256 is not 64 hex digits"},
		"the hash of nothing":            {"Name,ApiKeySha256\nops," + hashed("") + "\n", "line 2: ApiKeySha256 is that of an empty key"},
		"a key that is too long":         {head + "eve," + strings.Repeat("SECRET2", 200) + "\n", "line 3: the key has 1400 bytes, at most 1024"},
		"a key with a line break":        {head + "eve,\"SECRET2\n\"\n", "line 3: the key begins or ends with space"},
		"a key with a NUL":               {head + "eve,SECRET2\x00X\n", "line 3: the key has a control character"},
		"a name with a line break":       {head + "\"eve\nX\",SECRET2\n", "line 3: the name has a control character"},
		"old line ends":                  {"Name,ApiKey\rops,SECRET1\r", "line 1: column 2 is none of"},
		"Latin-1":                        {head + "J\xf6rg,SECRET2\n", "line 3: not UTF-8"},
		"UTF-16":                         {"\xff\xfeN\x00a\x00m\x00e\x00", "line 1: the list is in UTF-16"},
		"too large a file":               {head + strings.Repeat("\n", MaxWhitelist), "at most 16777216 are read"},
		"HTML":                           {"<html>\n", "line 1: column 1 is none of"},
	} {
		w, err := ParseWhitelist([]byte(c.list))
		if w != nil || err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q in it", name, err, c.want)
			continue
		}
		if strings.Contains(err.Error(), "SEC") || strings.Contains(err.Error(), hash[:8]) {
			t.Errorf("%s: the error has a key: %v", name, err)
		}
		if errors.Is(err, ErrNoKeys) != (name == "a header alone") {
			t.Errorf("%s: is %v ErrNoKeys?", name, err)
		}
		if _, err := HashWhitelist([]byte(c.list)); err == nil {
			t.Errorf("%s: was hashed", name)
		}
	}
}

func TestTooManyKeys(t *testing.T) {
	var list strings.Builder
	list.WriteString("Name,ApiKey\n")
	for i := range MaxKeys {
		fmt.Fprintf(&list, ",%d\n", i)
	}
	w, err := ParseWhitelist([]byte(list.String()))
	if err != nil || w.Len() != MaxKeys {
		t.Fatalf("got %d keys, %v", w.Len(), err)
	}
	list.WriteString(",one more\n")
	if _, err := ParseWhitelist([]byte(list.String())); err == nil || !strings.Contains(err.Error(), "line 100002: the list has more than 100000 keys") {
		t.Errorf("got %v", err)
	}
}

// Wherever a list is cut, by a reader that comes too early, nobody is let in whom the whole list does not know.
func TestNoPartOfAListLetsAnybodyElseIn(t *testing.T) {
	for _, columns := range []string{"Name,ApiKey", "ApiKey,Name", "Name,ApiKey,CreatedAt", "CreatedAt,Name,ApiKey", "Name,ApiKeySha256", "ApiKeySha256,CreatedAt,Name"} {
		for _, quote := range []string{"", `"`} {
			list := table3(columns, quote)
			whole, err := ParseWhitelist([]byte(list))
			if err != nil {
				t.Fatalf("%s: %v", columns, err)
			}
			for cut := range list {
				part, err := ParseWhitelist([]byte(list[:cut]))
				if err != nil {
					continue
				}
				for digest, who := range part.digests {
					if now := whole.digests[digest]; now == nil || *now != *who {
						t.Errorf("%q lets %q in", list[:cut], who.Name)
					}
				}
				if part.Len() == 0 {
					t.Errorf("%q is a list without keys", list[:cut])
				}
			}
		}
	}
}

// table3 is a list of three keys, one of them with a quote and a comma.
func table3(columns, quote string) string {
	var list strings.Builder
	for i, values := range [][2]string{{"", ""}, {"ops", "key-of-ops"}, {"dev", `key "of", dev`}, {"qa", "k"}} {
		for j, column := range strings.Split(columns, ",") {
			value := map[string]string{"Name": values[0], "ApiKey": values[1], "ApiKeySha256": hashed(values[1]), "CreatedAt": "2023-09-18T07:38:53Z"}[column]
			if i == 0 {
				value = column
			}
			q := quote
			if strings.ContainsAny(value, `",`) {
				q = `"`
			}
			if j > 0 {
				list.WriteByte(',')
			}
			list.WriteString(q + strings.ReplaceAll(value, `"`, `""`) + q)
		}
		list.WriteByte('\n')
	}
	return list.String()
}

func TestHashWhitelist(t *testing.T) {
	for name, list := range map[string]string{
		"the notary's":       notarys,
		"without a creation": "ApiKey,Name\nk1,ops\nk2,\"a, \"\"b\"\"\"\n",
		"hashed already":     "Name,ApiKeySha256\nops," + strings.ToUpper(hashed("k1")) + "\n",
	} {
		out, err := HashWhitelist([]byte(list))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if strings.Contains(string(out), "test_api_key") || strings.Contains(string(out), "CreatedAt") != strings.Contains(list, "CreatedAt") {
			t.Errorf("%s: got %s", name, out)
		}
		before, _ := ParseWhitelist([]byte(list))
		after, err := ParseWhitelist(out)
		if err != nil || after.Len() != before.Len() {
			t.Fatalf("%s: got %s, %v", name, out, err)
		}
		for digest, who := range before.digests {
			if now := after.digests[digest]; now == nil || *now != *who {
				t.Errorf("%s: %+v has become %+v", name, who, now)
			}
		}
		if again, err := HashWhitelist(out); err != nil || string(again) != string(out) {
			t.Errorf("%s: hashed again it is %s, %v", name, again, err)
		}
	}
	out, err := HashWhitelist([]byte(notarys))
	if want := "Name,ApiKeySha256,CreatedAt\nJonas Nielsen," + hashed("test_api_key_0") + ",2023-09-18T07:38:53Z\n"; err != nil || !strings.HasPrefix(string(out), want) {
		t.Errorf("got %s, %v", out, err)
	}
}

func TestAListWithoutKeysLetsNobodyIn(t *testing.T) {
	for name, w := range map[string]*Whitelist{"zero": new(Whitelist), "nil": nil} {
		if w.find("") != nil || w.find("x") != nil || w.identity("key:") != nil {
			t.Errorf("%s: somebody was let in", name)
		}
	}
	if new(Whitelist).Len() != 0 || len(new(Whitelist).Names()) != 0 {
		t.Error("the zero list has keys")
	}
}
