// Prints the fields of the kinds that pilus acts upon, of the version of k8s.io/api in go.mod:
// go run . >../../agent/kubernetes/testdata/api_1.34.txt
package main

import (
	"fmt"
	"reflect"
	"strings"

	core "k8s.io/api/core/v1"
	discovery "k8s.io/api/discovery/v1"
	networking "k8s.io/api/networking/v1"
)

func walk(path string, t reflect.Type, seen map[reflect.Type]bool) {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() == reflect.Slice {
		if t.Elem().Kind() != reflect.Uint8 {
			walk(path+"[]", t.Elem(), seen)
			return
		}
	}
	if t.Kind() != reflect.Struct || seen[t] || t.NumField() == 0 {
		fmt.Println(path)
		return
	}
	n := t.String()
	if n == "v1.Time" || n == "v1.MicroTime" || n == "intstr.IntOrString" || n == "resource.Quantity" || n == "v1.FieldsV1" {
		fmt.Println(path)
		return
	}
	seen[t] = true
	defer delete(seen, t)
	for i := 0; i < t.NumField(); i++ {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if strings.Contains(options, "inline") || (f.Anonymous && name == "") {
			walk(path, f.Type, seen)
			continue
		}
		if name == "" || name == "-" {
			continue
		}
		p := name
		if path != "" {
			p = path + "." + name
		}
		walk(p, f.Type, seen)
	}
}

func main() {
	fmt.Println("# The fields of k8s.io/api v0.34.2, made by scripts/kubernetes_fields")
	for _, x := range []any{core.Pod{}, core.Service{}, discovery.EndpointSlice{}, core.Node{}, networking.NetworkPolicy{}} {
		t := reflect.TypeOf(x)
		fmt.Println("# " + t.Name())
		walk("", t, map[reflect.Type]bool{})
	}
}
