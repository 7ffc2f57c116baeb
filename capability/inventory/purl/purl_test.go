package purl

import (
	"fmt"
	"testing"
)

func TestPackageURLs(t *testing.T) {
	for _, test := range []struct{ text, plain, advised string }{
		{"pkg:golang/golang.org/x/net@v0.17.0", "pkg:golang/golang.org/x/net@v0.17.0", "Go||golang.org/x/net|v0.17.0"},
		{"pkg:golang/github.com/a/b@v1.0.0%2Bincompatible?type=module#sub", "pkg:golang/github.com/a/b@v1.0.0+incompatible", "Go||github.com/a/b|v1.0.0+incompatible"},
		{"pkg:golang/std@go1.22.1", "pkg:golang/std@go1.22.1", "Go||stdlib|1.22.1"},
		{"pkg:npm/%40acme/left-pad@1.3.0", "pkg:npm/@acme/left-pad@1.3.0", "npm||@acme/left-pad|1.3.0"},
		{"pkg:npm/@acme/left-pad", "pkg:npm/@acme/left-pad", "npm||@acme/left-pad|"},
		{"pkg:maven/org.apache.commons/commons-text@1.9?type=jar", "pkg:maven/org.apache.commons/commons-text@1.9", "Maven||org.apache.commons:commons-text|1.9"},
		{"pkg:pypi/Ruamel_Yaml@0.17", "pkg:pypi/Ruamel_Yaml@0.17", "PyPI||ruamel-yaml|0.17"},
		{"pkg:deb/debian/libc6@2.36-9%2Bdeb12u4?arch=amd64&upstream=glibc&distro=debian-12", "pkg:deb/debian/libc6@2.36-9+deb12u4", "Debian|12|glibc|2.36-9+deb12u4"},
		{"pkg:deb/debian/bsdutils@1:2.38.1-5?upstream=util-linux%402.38.1-5+b1&distro=debian-12.5", "pkg:deb/debian/bsdutils@1:2.38.1-5", "Debian|12|util-linux|2.38.1-5+b1"},
		{"pkg:deb/ubuntu/bash@5.1?distro=ubuntu-22.04", "pkg:deb/ubuntu/bash@5.1", "Ubuntu|22.04|bash|5.1"},
		{"pkg:deb/debian/bash@5.1", "pkg:deb/debian/bash@5.1", ""},
		{"pkg:github/a/b@1", "pkg:github/a/b@1", ""},
		{"pkg:npm", "", ""}, {"npm/a", "", ""}, {"pkg:/a", "", ""},
	} {
		p, ok := Parse(test.text)
		if ok != (test.plain != "") || ok && p.String() != test.plain {
			t.Errorf("%s is %q, %v, want %q", test.text, p, ok, test.plain)
		}
		got := ""
		if a, known := p.Advised(); ok && known {
			got = fmt.Sprintf("%s|%s|%s|%s", a.Ecosystem, a.Release, a.Name, a.Version)
		}
		if got != test.advised {
			t.Errorf("%s is known as %q, want %q", test.text, got, test.advised)
		}
	}
}
