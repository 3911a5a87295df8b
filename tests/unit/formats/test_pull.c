/* SPDX-License-Identifier: Apache-2.0 */
/* test_pull: what pull.def's lines become, for every format; nothing of a path gets past the quotes. */
#include "pantera/format.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h> /* after our headers: its fail() is a macro */
#undef fail

static const struct pull_place place = { "https://art.example:8443", "art.example:8443" };
#define AT "https://art.example:8443/r/"

static void every_format(void **state)
{
    static const char *const rows[][4] = {
        { "file", "a b/c.txt", "curl -fOL " AT "a%20b/c.txt", "wget " AT "a%20b/c.txt" },
        { "maven", "com/example/lib/1.0/lib-1.0.jar",
          "mvn dependency:get -Dartifact=com.example:lib:1.0 -DremoteRepositories=https://art.example:8443/r",
          "curl -fOL " AT "com/example/lib/1.0/lib-1.0.jar" },
        { "maven", "com/example/lib/maven-metadata.xml",
          "curl -fOL " AT "com/example/lib/maven-metadata.xml", "" },
        { "gradle", "g/n/2/n-2.pom",
          "mvn dependency:get -Dartifact=g:n:2 -DremoteRepositories=https://art.example:8443/r",
          "curl -fOL " AT "g/n/2/n-2.pom" },
        { "npm", "left-pad/-/left-pad-1.3.0.tgz", "npm install left-pad@1.3.0 --registry=" AT, "" },
        { "npm", "@s/x/-/x-2.0.0-rc.1.tgz", "npm install @s/x@2.0.0-rc.1 --registry=" AT, "" },
        { "npm", "left-pad", "curl -fOL " AT "left-pad", "wget " AT "left-pad" },
        { "docker", "library/ubuntu/manifests/22.04",
          "docker pull art.example:8443/r/library/ubuntu:22.04", "" },
        { "docker", "app/manifests/sha256:ab", "docker pull art.example:8443/r/app@sha256:ab", "" },
        { "docker", "team/app/_tags/1.2", "docker pull art.example:8443/r/team/app:1.2", "" },
        { "docker", "app/_manifests/sha256/ab", "docker pull art.example:8443/r/app@sha256:ab", "" },
        { "docker", "app", "docker pull art.example:8443/r/app:latest", "" },
        { "pypi", "requests/2.31.0/requests-2.31.0.tar.gz",
          "pip install requests==2.31.0 --index-url " AT "simple/", "" },
        { "helm", "nginx-15.1.0.tgz", "helm repo add r https://art.example:8443/r",
          "helm install nginx r/nginx --version 15.1.0" },
        { "go", "github.com/a/b/@v/v1.2.3.zip",
          "GOPROXY=https://art.example:8443/r,direct go get github.com/a/b@v1.2.3", "" },
        { "nuget", "newtonsoft.json/13.0.3/newtonsoft.json.13.0.3.nupkg",
          "dotnet add package newtonsoft.json --version 13.0.3 --source " AT "index.json", "" },
        { "gem", "gems/rails-7.1.0.gem", "gem install rails --version 7.1.0 --source " AT, "" },
        { "php", "artifacts/monolog/monolog/3.5.0/monolog-3.5.0.zip",
          "composer config repositories.r composer https://art.example:8443/r",
          "composer require monolog/monolog:3.5.0" },
        { "deb", "pool/main/h/hello_2.10-3_amd64.deb", "apt-get install hello=2.10-3",
          "curl -fOL " AT "pool/main/h/hello_2.10-3_amd64.deb" },
        { "rpm", "Packages/hello-2.10-1.x86_64.rpm",
          "dnf install --repofrompath=r,https://art.example:8443/r hello-2.10-1",
          "curl -fOL " AT "Packages/hello-2.10-1.x86_64.rpm" },
        { "conda", "noarch/flask-3.0.0-pyhd8ed1ab_0.conda",
          "conda install -c https://art.example:8443/r flask=3.0.0", "" },
        { "conan", "zlib/1.3/_/_/export/conanfile.py", "conan remote add r https://art.example:8443/r",
          "conan install --requires=zlib/1.3 -r r" },
        { "hexpm", "tarballs/jason-1.4.1.tar", "mix hex.repo add r https://art.example:8443/r",
          "mix hex.package fetch jason 1.4.1 --repo=r" },
        { "unheard-of", "x", "curl -fOL " AT "x", "wget " AT "x" },
    };
    struct arena a;

    arena_init(&a);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *lines[PULL_LINES];
        unsigned n = format_pull(&a, rows[i][0], &place, "r", rows[i][1], lines);
        assert_string_equal(lines[0], rows[i][2]);
        assert_int_equal(n, *rows[i][3] ? 2 : 1);
        if (n > 1)
            assert_string_equal(lines[1], rows[i][3]);
    }
    arena_release(&a);
}

/* People paste these lines. */
static void nothing_gets_out_of_its_word(void **state)
{
    static const char *const rows[][3] = {
        { "pypi", "a;rm -rf ~/1.0/f", "pip install 'a;rm -rf ~==1.0' --index-url " AT "simple/" },
        { "docker", "$(reboot)/manifests/`x`", "docker pull 'art.example:8443/r/$(reboot):`x`'" },
        { "nuget", "it's/1/f", "dotnet add package 'it'\\''s' --version 1 --source " AT "index.json" },
        { "gem", "gems/--evil-1.0.gem", "curl -fOL " AT "gems/--evil-1.0.gem" },
        { "go", "a\nb/@v/v1.zip", "GOPROXY=https://art.example:8443/r,direct go get 'a\nb@v1'" },
        { "file", "a'b$c", "curl -fOL " AT "a%27b%24c" },
    };
    static const char *const formats[] = { "maven", "npm", "docker", "pypi", "helm", "go", "nuget", "gem",
                                           "php", "deb", "rpm", "conda", "conan", "hexpm", "file" };
    static const char *const odd[] = { "a", "/", "a/", "-", "a/-/", "/-/", "@v", "a/@v/", "_", "__", "a_",
                                       "-1",
                                       "a-", "a-v", ".tgz", "a-1.tgz", "//", "a/b/c", "artifacts/", ".rpm",
                                       "artifacts/a/b", "/manifests/", "a/manifests/", "x-1.conda" };
    struct arena a;
    const char *lines[PULL_LINES];

    arena_init(&a);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_true(format_pull(&a, rows[i][0], &place, "r", rows[i][1], lines) > 0);
        assert_string_equal(lines[0], rows[i][2]);
    }
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
        for (size_t k = 0; k < sizeof odd / sizeof *odd; k++)
            assert_true(format_pull(&a, formats[i], &place, "r", odd[k], lines) > 0);
    arena_release(&a);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_format),
        cmocka_unit_test(nothing_gets_out_of_its_word),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
