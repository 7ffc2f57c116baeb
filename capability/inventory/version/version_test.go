package version

import (
	"strings"
	"testing"
)

// ordered are versions of ecosystems, each line in order; those with = between
// them are the same. Maven's are the examples of its specification, Python's
// those of PEP 440.
var ordered = map[string][]string{
	"Go": {
		"v0.0.0-20200101000000-abcdefabcdef v0.1.0 v1.0.0-rc.1 v1.0.0=1.0.0=v1.0.0+incompatible v1.2.0 v1.10.0 v2.0.0",
	},
	"npm": {"1.0.0-alpha 1.0.0-alpha.1 1.0.0-alpha.beta 1.0.0-beta.2 1.0.0-beta.11 1.0.0-rc.1 1.0.0 1.0.1"},
	"PyPI": {
		"1.dev0 1.0.dev456 1.0a1 1.0a2.dev456 1.0a12.dev456 1.0a12 1.0b1.dev456 1.0b2 1.0b2.post345.dev456 1.0b2.post345 1.0rc1.dev456 1.0rc1 1.0 1.0+abc.5 1.0+abc.7 1.0+5 1.0.post456.dev34 1.0.post456 1.1.dev1",
		"1.0=1.0.0=v1=1.0.0.0 1.9 1.10 1!0.1",
		"1.0-alpha1=1.0a1=1.0.ALPHA.1 1.0c1=1.0rc1=1.0-preview-1 1.0-1=1.0.post1=1.0rev1",
	},
	"Debian": {
		"1.0~beta1~svn1245 1.0~beta1 1.0 1.0-1 1.0-1+deb12u1 1.0-2 1.0a 1.0+ 1.0.1 1:0.1",
		"2.36-9+deb12u4 2.36-9+deb12u10 09.1=9.1 10",
		"1.2.3-1~bpo1 1.2.3-1",
	},
	"Maven": {
		"1-alpha=1a0=1.alpha 1-alpha-1=1a1 1-beta=1b0 1-milestone=1m0 1-rc=1-cr 1-snapshot 1=1.0=1-ga=1-final=1.0.0-release 1-sp 1-abc 1-1 1.1",
		"1.0.0-rc1 1.0.0.rc2 1.0.0 1.0.1 1.9 1.10",
		"1-foo2 1-foo10",
		"2.0.0.RELEASE=2 2.0.1.RELEASE",
		"31.0-android 31.0-jre 31.1",
	},
}

func TestVersionsAreInOrder(t *testing.T) {
	for ecosystem, lines := range ordered {
		for _, line := range lines {
			groups := strings.Fields(line)
			for i, group := range groups {
				for j, other := range groups {
					for a := range strings.SplitSeq(group, "=") {
						for b := range strings.SplitSeq(other, "=") {
							want := 0
							if i < j {
								want = -1
							} else if i > j {
								want = 1
							}
							if got, err := Compare(ecosystem, a, b); err != nil || got != want {
								t.Errorf("%s: %s to %s is %d, %v, want %d", ecosystem, a, b, got, err, want)
							}
						}
					}
				}
			}
		}
	}
}

func TestWhatIsNoVersion(t *testing.T) {
	for _, test := range []struct{ ecosystem, version, want string }{
		{"Go", "(devel)", `"(devel)" is no semantic version`},
		{"npm", "latest", "is no semantic version"},
		{"PyPI", "1.0-final-x", "is no version of a Python package"},
		{"Hex", "1", `how versions of "Hex" are ordered is not known`},
		{"Maven", strings.Repeat("1.", 1000), "more than 200 bytes"},
	} {
		if _, err := Compare(test.ecosystem, test.version, "1"); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s %.20s: %v, want %q", test.ecosystem, test.version, err, test.want)
		}
	}
}

func FuzzCompare(f *testing.F) {
	for ecosystem, lines := range ordered {
		for _, line := range lines {
			versions := strings.Fields(strings.ReplaceAll(line, "=", " "))
			for i := 1; i < len(versions); i++ {
				f.Add(ecosystem, versions[i-1], versions[i])
			}
		}
	}
	f.Fuzz(func(t *testing.T, ecosystem, a, b string) {
		there, err := Compare(ecosystem, a, b)
		back, other := Compare(ecosystem, b, a)
		if (err == nil) != (other == nil) || err == nil && there != -back {
			t.Errorf("%s: %q to %q is %d, %v, and back %d, %v", ecosystem, a, b, there, err, back, other)
		}
		if same, err := Compare(ecosystem, a, a); err == nil && same != 0 {
			t.Errorf("%s: %q to itself is %d", ecosystem, a, same)
		}
	})
}
