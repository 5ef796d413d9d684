# Test::RedisServer starts the server by itself, in the place of redis-server, and waits for its log.
use strict;
use warnings;
use IO::Socket::UNIX;
use Test::More;
use Test::RedisServer;

my $server = Test::RedisServer->new(
    exec => $ENV{OXIDIS_SERVER},
    conf => { save => '""', databases => 4 },
);
ok $server->pid, 'it runs';
my %to = $server->connect_info;
my $socket = IO::Socket::UNIX->new(Peer => $to{sock}) or die "cannot connect: $!";
my $ask = sub { print {$socket} "$_[0]\r\n"; my $line = <$socket>; $line =~ s/\r\n//; $line };
$socket->autoflush(1);
is $ask->('PING'), '+PONG', 'it answers';
is $ask->('SET k v'), '+OK', 'it stores';
is $ask->('SELECT 4'), '-ERR DB index is out of range', 'it took its configuration';
$server->stop;
is $server->pid, undef, 'it ended';
done_testing;
