package webhook

import (
	"strings"
	"testing"
	"time"

	"landfall.dev/kit"
)

func TestSignatureIsThatOfTheSpecification(t *testing.T) {
	key, err := decodeSecret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	if err != nil {
		t.Fatal(err)
	}
	got := signatures([][]byte{key}, "msg_p5jXN8AQM9LWM0D4loKWxJek", time.Unix(1614265330, 0), []byte(`{"test": 2432232314}`))
	if want := "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="; got != want {
		t.Errorf("the signature is %s, want %s", got, want)
	}
}

func TestSealedSecretOpensOnlyWithItsKeyAndDocument(t *testing.T) {
	const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	v := newVault([]byte("key"))
	sealed := v.seal(secret, "subscriptions/a")
	if strings.Contains(sealed, "MfKQ9r8G") {
		t.Errorf("the sealed secret %s shows it", sealed)
	}
	if _, err := v.open(sealed, "subscriptions/a"); err != nil {
		t.Errorf("open: %v", err)
	}
	if _, err := newVault([]byte("another")).open(sealed, "subscriptions/a"); err == nil {
		t.Error("another key opens it")
	}
	if _, err := v.open(sealed, "subscriptions/b"); err == nil {
		t.Error("it opens in another document")
	}
	if _, err := v.open("!", "subscriptions/a"); err == nil {
		t.Error("what is no sealed secret opens")
	}
}

func TestFormerSecretSignsForADay(t *testing.T) {
	x := rules{vault: newVault([]byte("key"))}
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	s := Subscription{Meta: kit.Meta{Link: "subscriptions/a"}, Of: "notes", URL: "http://127.0.0.1/", Secret: "whsec_" + strings.Repeat("A", 32)}
	s, _ = x.next(s, kit.Event{Name: "created", By: "users/ada"}, now)
	s.Secret = "whsec_" + strings.Repeat("B", 32)
	s, ops := x.next(s, kit.Event{Name: "updated", Data: []byte(`{"secret":""}`)}, now)
	if len(ops) > 0 || s.Secret != "" {
		t.Fatalf("the update wished for %+v and left the secret %q", ops, s.Secret)
	}
	for after, want := range map[time.Duration]int{time.Hour: 2, 25 * time.Hour: 1} {
		keys, err := x.vault.keys(s, now.Add(after))
		if err != nil || len(keys) != want {
			t.Errorf("after %v there are %d keys, %v; want %d", after, len(keys), err, want)
		}
	}
}

func TestOnlyPublicAddressesCanBeRequired(t *testing.T) {
	for _, address := range []string{"127.0.0.1:80", "[::1]:80", "10.1.2.3:80", "192.168.1.1:80", "169.254.169.254:80", "[fe80::1]:80", "[::ffff:127.0.0.1]:80", "0.0.0.0:80",
		"0.1.2.3:80", "100.100.100.200:80", "198.18.0.1:80", "240.0.0.1:80", "[64:ff9b::7f00:1]:80", "[2002:7f00:1::1]:80"} {
		if onlyPublic("tcp", address, nil) == nil {
			t.Errorf("%s counts as public", address)
		}
	}
	if err := onlyPublic("tcp", "93.184.216.34:443", nil); err != nil {
		t.Errorf("a public address: %v", err)
	}
	if checkURL("http://127.0.0.1/", true) == nil || checkURL("http://localhost/", true) == nil {
		t.Error("loopback passes as a public receiver")
	}
}

func FuzzRetryAfterIsBounded(f *testing.F) {
	f.Add("12")
	f.Add("Fri, 31 Dec 2999 23:59:59 GMT")
	f.Add("999999999999999999")
	f.Fuzz(func(t *testing.T, text string) {
		if d := retryAfter(text, time.Unix(0, 0)); d < 0 || d > maxAfter {
			t.Errorf("Retry-After: %q means %v", text, d)
		}
	})
}
