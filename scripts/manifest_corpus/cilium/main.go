// Decides on Cilium's policies as kubectl, the API server with Cilium's CRDs and Cilium's own parser
// do: each line of the input is a text as JSON, each line of the output what is wrong with it, as JSON.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"

	"github.com/cilium/cilium/pkg/fqdn/re"
	"github.com/cilium/cilium/pkg/k8s/apis/cilium.io/client"
	v2 "github.com/cilium/cilium/pkg/k8s/apis/cilium.io/v2"
	"github.com/cilium/cilium/pkg/option"
	"github.com/cilium/cilium/pkg/policy/api"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	structural "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/objectmeta"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apimachinery/pkg/util/yaml"
)

// Fault is what is wrong with a policy: Field is empty for what cannot be decoded.
type Fault struct {
	Field  string `json:"field,omitempty"`
	Type   string `json:"type"`
	Detail string `json:"detail"`
}

// Verdict is on one text.
type Verdict struct {
	Faults []Fault `json:"faults"`
}

func (v *Verdict) add(kind, path, detail string) {
	v.Faults = append(v.Faults, Fault{Type: kind, Field: path, Detail: detail})
}

type definition struct {
	schema     *structural.Structural
	validator  validation.SchemaValidator
	namespaced bool
}

// define reads a CRD as the API server does.
func define(name string) definition {
	crd := client.GetPregeneratedCRD(silent, name)
	properties := &apiextensions.JSONSchemaProps{}
	version := crd.Spec.Versions[0].Schema.OpenAPIV3Schema
	must(apiextensionsv1.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(version, properties, nil))
	schema, err := structural.NewStructural(properties)
	must(err)
	validator, _, err := validation.NewSchemaValidator(properties)
	must(err)
	return definition{schema, validator, crd.Spec.Scope == apiextensionsv1.NamespaceScoped}
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

var silent = slog.New(slog.DiscardHandler)

var definitions = map[string]definition{}

func main() {
	definitions["CiliumNetworkPolicy"] = define(client.CNPCRDName)
	definitions["CiliumClusterwideNetworkPolicy"] = define(client.CCNPCRDName)
	must(re.InitRegexCompileLRU(silent, 16))
	// as Cilium's chart sets them by default
	option.Config.EnableL7Proxy = true
	option.Config.EnableICMPRules = true
	option.Config.EnableNonDefaultDenyPolicies = true
	input := json.NewDecoder(bufio.NewReaderSize(os.Stdin, 1<<20))
	output := bufio.NewWriter(os.Stdout)
	defer output.Flush()
	answers := json.NewEncoder(output)
	for {
		var text string
		if err := input.Decode(&text); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			must(err)
		}
		verdict := Verdict{Faults: []Fault{}}
		judge(text, &verdict)
		must(answers.Encode(verdict))
	}
}

// judge reads the text as kubectl does: documents become JSON, lists their items.
func judge(text string, verdict *Verdict) {
	defer func() {
		if cause := recover(); cause != nil {
			verdict.add("Panic", "", fmt.Sprint(cause))
		}
	}()
	decoder := yaml.NewYAMLOrJSONDecoder(strings.NewReader(text), 4096)
	for {
		var raw runtime.RawExtension
		err := decoder.Decode(&raw)
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			verdict.add("Parse", "", err.Error())
			return
		}
		raw.Raw = bytes.TrimSpace(raw.Raw)
		if len(raw.Raw) > 0 && !bytes.Equal(raw.Raw, []byte("null")) {
			judgeItem(raw.Raw, verdict)
		}
	}
}

// dropNulls leaves out fields that are nothing, as in Kubernetes' own kinds; for CRDs they are faults.
func dropNulls(value any) {
	switch value := value.(type) {
	case map[string]any:
		for name, field := range value {
			if field == nil {
				delete(value, name)
			} else {
				dropNulls(field)
			}
		}
	case []any:
		for _, item := range value {
			dropNulls(item)
		}
	}
}

func judgeItem(raw []byte, verdict *Verdict) {
	object, err := runtime.Decode(unstructured.UnstructuredJSONScheme, raw)
	if err != nil {
		verdict.add("Decode", "", err.Error())
		return
	}
	if list, ok := object.(*unstructured.UnstructuredList); ok {
		for _, item := range list.Items {
			text, err := json.Marshal(&item)
			must(err)
			judgeItem(text, verdict)
		}
		return
	}
	policy := object.(*unstructured.Unstructured)
	known, ok := definitions[policy.GetKind()]
	if !ok || policy.GetAPIVersion() != "cilium.io/v2" {
		verdict.add("Decode", "", fmt.Sprintf("no kind %q of %q", policy.GetKind(), policy.GetAPIVersion()))
		return
	}
	fault, unknown := objectmeta.CoerceWithOptions(nil, policy.Object, known.schema, true, objectmeta.CoerceOptions{ReturnUnknownFieldPaths: true})
	if fault != nil {
		verdict.add(string(fault.Type), "", fault.Detail)
		return
	}
	for _, name := range []string{"spec", "specs"} {
		if policy.Object[name] == nil {
			delete(policy.Object, name)
		}
		dropNulls(policy.Object[name])
	}
	for _, path := range unknown {
		verdict.add("Unknown", path, "unknown field")
	}
	if known.namespaced && policy.GetNamespace() == "" {
		policy.SetNamespace("default")
	}
	faults := apivalidation.ValidateObjectMetaAccessor(policy, known.namespaced, apivalidation.NameIsDNSSubdomain, field.NewPath("metadata"))
	faults = append(faults, validation.ValidateCustomResource(nil, policy.Object, known.validator)...)
	for _, fault := range faults {
		verdict.add(string(fault.Type), fault.Field, fault.ErrorBody())
	}
	for _, path := range pruning.PruneWithOptions(policy.Object, known.schema, true, structural.UnknownFieldPathOptions{TrackUnknownFieldPaths: true}) {
		verdict.add("Unknown", path, "unknown field")
	}
	text, err := json.Marshal(policy.Object)
	must(err)
	var decoded interface {
		Parse(*slog.Logger, string) (api.Rules, error)
	} = &v2.CiliumClusterwideNetworkPolicy{}
	if known.namespaced {
		decoded = &v2.CiliumNetworkPolicy{}
	}
	if err := json.Unmarshal(text, decoded); err != nil {
		verdict.add("Decode", "", err.Error())
	} else if _, err := decoded.Parse(silent, "default"); err != nil {
		verdict.add("Sanitize", "spec", err.Error())
	}
}
