//! The table that finds the functions of the interface by name.
//!
//! Mirrors: moduleRegisterCoreAPI() and RM_GetApi() of module.c.

use std::ffi::{c_char, c_int, c_void};
use std::ptr;

use super::codes::{ERR, OK};
use super::{
    auth, blocked, calls, cluster, commands, configs, dicts, events, extra, filters, fork, gate,
    info, io, keymeta, keys, library, memory, misc, promises, replies, scan, settings, streams,
    strings, typed, types, users, watches,
};
use crate::modules::Opaque;

// Entries of shim.c: called by modules, never by us.
unsafe extern "C" {
    fn oxidis_shim_call(ctx: Opaque, name: *const c_char, fmt: *const c_char, ...) -> *mut c_void;
    fn oxidis_shim_replicate(ctx: Opaque, name: *const c_char, fmt: *const c_char, ...) -> c_int;
    fn oxidis_shim_printf(ctx: Opaque, fmt: *const c_char, ...) -> *mut c_void;
    fn oxidis_shim_error_format(ctx: Opaque, fmt: *const c_char, ...) -> c_int;
    fn oxidis_shim_log(ctx: Opaque, level: *const c_char, fmt: *const c_char, ...);
    fn oxidis_shim_hash_set(key: Opaque, flags: c_int, ...) -> c_int;
    fn oxidis_shim_hash_get(key: Opaque, flags: c_int, ...) -> c_int;
    fn oxidis_shim_string_from_long_double();
    fn oxidis_shim_reply_long_double();
    fn oxidis_shim_string_to_long_double();
    fn oxidis_shim_save_long_double();
    fn oxidis_shim_load_long_double();
    fn oxidis_shim_emit_aof();
    fn oxidis_shim_slot_command();
    fn oxidis_shim_log_io();
}

/// The function of a name; the first word of each context leads here. Both prefixes mean the same function.
pub unsafe extern "C" fn get_api(name: *const c_char, out: *mut Opaque) -> c_int {
    let name = unsafe { strings::c_bytes(name) };
    let plain = name
        .strip_prefix(b"RedisModule_")
        .or(name.strip_prefix(b"ValkeyModule_"));
    let found = plain.and_then(find);
    if let Some(out) = unsafe { out.as_mut() } {
        *out = found.map_or(ptr::null_mut(), |function| function.cast_mut().cast());
    }
    if found.is_some() { OK } else { ERR }
}

macro_rules! functions {
    ($name:ident: $($known:literal => $function:expr;)*) => {
        match $name {
            $($known => Some($function as *const ()),)*
            _ => None,
        }
    };
}

/// The address of a function by its name without prefix.
#[rustfmt::skip]
fn find(name: &[u8]) -> Option<*const ()> {
    functions! { name:
        // Memory.
        b"Alloc" => memory::module_alloc;
        b"TryAlloc" => memory::try_alloc;
        b"Calloc" => memory::calloc;
        b"TryCalloc" => memory::try_calloc;
        b"Realloc" => memory::module_realloc;
        b"TryRealloc" => memory::try_realloc;
        b"Free" => memory::free;
        b"Strdup" => memory::strdup;
        b"PoolAlloc" => memory::pool_alloc;
        b"AutoMemory" => memory::auto_memory;
        b"MallocSize" => memory::malloc_size;
        b"MallocUsableSize" => memory::usable_size;
        b"MallocSizeString" => strings::malloc_size;
        b"MallocSizeDict" => dicts::malloc_size;
        b"GetUsedMemoryRatio" => memory::used_memory_ratio;
        // The module, its commands, the keys of commands.
        b"GetApi" => get_api;
        b"SetModuleAttribs" => library::set_attributes;
        b"IsModuleNameBusy" => library::is_name_busy;
        b"SetModuleOptions" => misc::set_options;
        b"GetModuleOptionsAll" => misc::options_all;
        b"CreateCommand" => commands::create_command;
        b"GetCommand" => commands::get_command;
        b"CreateSubcommand" => commands::create_subcommand;
        b"SetCommandInfo" => commands::set_command_info;
        b"EventLoopAdd" => watches::add;
        b"EventLoopDel" => watches::remove;
        b"Fork" => fork::fork;
        b"SendChildHeartbeat" => fork::heartbeat;
        b"ExitFromChild" => fork::exit_from_child;
        b"KillForkChild" => fork::kill_child;
        b"RdbStreamCreateFromFile" => fork::stream_of_file;
        b"RdbStreamFree" => fork::free_stream;
        b"RdbLoad" => fork::load;
        b"RdbSave" => fork::save;
        b"RegisterClusterMessageReceiver" => cluster::register_receiver;
        b"SendClusterMessage" => cluster::send;
        b"GetClusterNodesList" => cluster::nodes;
        b"FreeClusterNodesList" => cluster::free_nodes;
        b"GetClusterSize" => cluster::size;
        b"GetClusterNodeInfo" => cluster::node_info;
        b"SetClusterFlags" => cluster::set_flags;
        b"ClusterGetLocalSlotRanges" => cluster::local_ranges;
        b"ClusterFreeSlotRanges" => cluster::free_ranges;
        b"ClusterCanAccessKeysInSlot" => cluster::can_access;
        b"ClusterDisableTrim" => cluster::hold_trim;
        b"ClusterEnableTrim" => cluster::release_trim;
        b"ClusterPropagateForSlotMigration" => oxidis_shim_slot_command;
        b"GetInternalSecret" => cluster::secret;
        b"LatencyAddSample" => cluster::add_latency;
        b"RegisterAuthCallback" => auth::register;
        b"BlockClientOnAuth" => auth::block_on_login;
        b"SetCommandACLCategories" => commands::set_acl_categories;
        b"AddACLCategory" => commands::add_acl_category;
        b"WrongArity" => commands::wrong_arity;
        b"IsKeysPositionRequest" => commands::is_keys_request;
        b"KeyAtPos" => commands::key_at;
        b"KeyAtPosWithFlags" => commands::key_at_with_flags;
        b"IsChannelsPositionRequest" => commands::is_channels_request;
        b"ChannelAtPosWithFlags" => commands::channel_at;
        b"GetCommandKeys" => commands::command_keys;
        b"GetCommandKeysWithFlags" => commands::command_keys_with_flags;
        b"GetCurrentCommandName" => commands::current_name;
        b"RedactClientCommandArgument" => commands::redact;
        b"ExportSharedAPI" => misc::export_api;
        b"GetSharedAPI" => misc::shared_api;
        // Strings.
        b"CreateString" => strings::create;
        b"CreateStringFromLongLong" => strings::from_long_long;
        b"CreateStringFromULongLong" => strings::from_unsigned;
        b"CreateStringFromDouble" => strings::from_double;
        b"CreateStringFromLongDouble" => oxidis_shim_string_from_long_double;
        b"CreateStringFromString" => strings::from_string;
        b"CreateStringFromStreamID" => strings::from_stream_id;
        b"CreateStringPrintf" => oxidis_shim_printf;
        b"CreateStringFromCallReply" => calls::to_string;
        b"FreeString" => strings::free_string;
        b"RetainString" => strings::retain_string;
        b"HoldString" => strings::hold_string;
        b"StringPtrLen" => strings::ptr_len;
        b"StringAppendBuffer" => strings::append;
        b"TrimStringAllocation" => strings::trim;
        b"StringCompare" => strings::compare;
        b"StringToLongLong" => strings::to_long_long;
        b"StringToULongLong" => strings::to_unsigned;
        b"StringToDouble" => strings::to_double;
        b"StringToLongDouble" => oxidis_shim_string_to_long_double;
        b"StringToStreamID" => strings::to_stream_id;
        // Replies.
        b"ReplyWithLongLong" => replies::long_long;
        b"ReplyWithError" => replies::error;
        b"ReplyWithErrorFormat" => oxidis_shim_error_format;
        b"ReplyWithSimpleString" => replies::simple;
        b"ReplyWithArray" => replies::array;
        b"ReplyWithMap" => replies::map;
        b"ReplyWithSet" => replies::set;
        b"ReplyWithAttribute" => replies::attribute;
        b"ReplyWithNullArray" => replies::null_array;
        b"ReplyWithEmptyArray" => replies::empty_array;
        b"ReplySetArrayLength" => replies::set_array_length;
        b"ReplySetMapLength" => replies::set_map_length;
        b"ReplySetSetLength" => replies::set_set_length;
        b"ReplySetAttributeLength" => replies::set_attribute_length;
        b"ReplyWithStringBuffer" => replies::string_buffer;
        b"ReplyWithCString" => replies::c_string;
        b"ReplyWithString" => replies::string;
        b"ReplyWithEmptyString" => replies::empty_string;
        b"ReplyWithVerbatimString" => replies::verbatim;
        b"ReplyWithVerbatimStringType" => replies::verbatim_type;
        b"ReplyWithNull" => replies::null;
        b"ReplyWithBool" => replies::boolean;
        b"ReplyWithDouble" => replies::double;
        b"ReplyWithLongDouble" => oxidis_shim_reply_long_double;
        b"ReplyWithBigNumber" => replies::big_number;
        b"ReplyWithCallReply" => replies::call_reply;
        // Calls.
        b"Call" => oxidis_shim_call;
        b"FreeCallReply" => calls::free_reply;
        b"CallReplyType" => calls::kind;
        b"CallReplyLength" => calls::length;
        b"CallReplyInteger" => calls::integer;
        b"CallReplyDouble" => calls::double;
        b"CallReplyBool" => calls::boolean;
        b"CallReplyBigNumber" => calls::big_number;
        b"CallReplyVerbatim" => calls::verbatim;
        b"CallReplyStringPtr" => calls::string_ptr;
        b"CallReplyArrayElement" => calls::array_element;
        b"CallReplySetElement" => calls::set_element;
        b"CallReplyMapElement" => calls::map_element;
        b"CallReplyAttribute" => calls::attribute;
        b"CallReplyAttributeElement" => calls::attribute_element;
        b"CallReplyProto" => calls::proto;
        b"Replicate" => oxidis_shim_replicate;
        b"ReplicateVerbatim" => calls::replicate_verbatim;
        // Databases, the context, clients.
        b"GetSelectedDb" => keys::selected_db;
        b"SelectDb" => keys::select_db;
        b"DbSize" => keys::db_size;
        b"RandomKey" => keys::random;
        b"KeyExists" => keys::exists;
        b"GetContextFlags" => misc::context_flags;
        b"GetContextFlagsAll" => misc::context_flags_all;
        b"AvoidReplicaTraffic" => misc::avoid_replica_traffic;
        b"GetClientId" => misc::client_id;
        b"GetClientUserNameById" => misc::client_user_name;
        b"GetClientInfoById" => misc::client_info;
        b"GetClientNameById" => misc::client_name;
        b"SetClientNameById" => misc::set_client_name;
        b"PublishMessage" => misc::publish;
        b"PublishMessageShard" => misc::publish_shard;
        b"SignalModifiedKey" => keys::signal_modified;
        b"GetNotifyKeyspaceEvents" => misc::notify_classes;
        // Keys.
        b"OpenKey" => keys::open;
        b"GetOpenKeyModesAll" => keys::open_modes;
        b"CloseKey" => keys::close;
        b"KeyType" => keys::kind;
        b"ValueLength" => keys::value_length;
        b"DeleteKey" => keys::delete;
        b"UnlinkKey" => keys::unlink;
        b"GetExpire" => keys::get_expire;
        b"SetExpire" => keys::set_expire;
        b"GetAbsExpire" => keys::get_abs_expire;
        b"SetAbsExpire" => keys::set_abs_expire;
        b"StringSet" => keys::string_set;
        b"StringDMA" => keys::string_dma;
        b"StringTruncate" => keys::string_truncate;
        b"GetKeyNameFromModuleKey" => keys::name;
        b"GetDbIdFromModuleKey" => keys::db;
        b"SetLRU" => keys::set_lru;
        b"GetLRU" => keys::get_lru;
        b"SetLFU" => keys::set_lfu;
        b"GetLFU" => keys::get_lfu;
        // Lists, sorted sets, hashes, streams.
        b"ListPush" => typed::list_push;
        b"ListPop" => typed::list_pop;
        b"ListGet" => typed::list_get;
        b"ListSet" => typed::list_set;
        b"ListInsert" => typed::list_insert;
        b"ListDelete" => typed::list_delete;
        b"ZsetAdd" => typed::zset_add;
        b"ZsetIncrby" => typed::zset_incrby;
        b"ZsetScore" => typed::zset_score;
        b"ZsetRem" => typed::zset_rem;
        b"ZsetRangeStop" => typed::zset_stop;
        b"ZsetFirstInScoreRange" => typed::zset_first_in_score;
        b"ZsetLastInScoreRange" => typed::zset_last_in_score;
        b"ZsetFirstInLexRange" => typed::zset_first_in_lex;
        b"ZsetLastInLexRange" => typed::zset_last_in_lex;
        b"ZsetRangeCurrentElement" => typed::zset_current;
        b"ZsetRangeNext" => typed::zset_next;
        b"ZsetRangePrev" => typed::zset_prev;
        b"ZsetRangeEndReached" => typed::zset_ended;
        b"HashSet" => oxidis_shim_hash_set;
        b"HashGet" => oxidis_shim_hash_get;
        b"HashFieldMinExpire" => typed::hash_earliest;
        b"StreamAdd" => streams::add;
        b"StreamDelete" => streams::delete;
        b"StreamIteratorStart" => streams::start;
        b"StreamIteratorStop" => streams::stop;
        b"StreamIteratorNextID" => streams::next_id;
        b"StreamIteratorNextField" => streams::next_field;
        b"StreamIteratorDelete" => streams::delete_current;
        b"StreamTrimByLength" => streams::trim_by_length;
        b"StreamTrimByID" => streams::trim_by_id;
        // Data types.
        b"CreateDataType" => types::create;
        b"ModuleTypeSetValue" => types::set_value;
        b"ModuleTypeReplaceValue" => types::replace_value;
        b"ModuleTypeGetType" => types::get_type;
        b"ModuleTypeGetValue" => types::get_value;
        b"LoadDataTypeFromString" => types::load_from_string;
        b"LoadDataTypeFromStringEncver" => types::load_from_string_version;
        b"SaveDataTypeToString" => types::save_to_string;
        b"GetDbIdFromOptCtx" => types::option_db;
        b"GetToDbIdFromOptCtx" => types::option_to_db;
        b"CreateKeyMetaClass" => keymeta::create;
        b"ReleaseKeyMetaClass" => keymeta::release;
        b"SetKeyMeta" => keymeta::set;
        b"GetKeyMeta" => keymeta::get;
        b"GetKeyNameFromOptCtx" => types::option_key;
        b"GetToKeyNameFromOptCtx" => types::option_to_key;
        b"IsIOError" => io::is_error;
        b"SaveUnsigned" => io::save_unsigned;
        b"LoadUnsigned" => io::load_unsigned;
        b"SaveSigned" => io::save_signed;
        b"LoadSigned" => io::load_signed;
        b"SaveString" => io::save_string;
        b"SaveStringBuffer" => io::save_buffer;
        b"LoadString" => io::load_string;
        b"LoadStringBuffer" => io::load_buffer;
        b"SaveDouble" => io::save_double;
        b"LoadDouble" => io::load_double;
        b"SaveFloat" => io::save_float;
        b"LoadFloat" => io::load_float;
        b"SaveLongDouble" => oxidis_shim_save_long_double;
        b"LoadLongDouble" => oxidis_shim_load_long_double;
        b"EmitAOF" => oxidis_shim_emit_aof;
        b"LogIOError" => oxidis_shim_log_io;
        b"GetContextFromIO" => io::context_of;
        b"GetKeyNameFromIO" => io::key_of;
        b"GetDbIdFromIO" => io::db_of;
        b"DigestAddStringBuffer" => io::digest_bytes;
        b"DigestAddLongLong" => io::digest_number;
        b"DigestEndSequence" => io::digest_end;
        b"GetKeyNameFromDigest" => io::digest_key;
        b"GetDbIdFromDigest" => io::digest_db;
        // Dictionaries.
        b"CreateDict" => dicts::create;
        b"FreeDict" => dicts::free_dict;
        b"DictSize" => dicts::size;
        b"DictSetC" => dicts::set_c;
        b"DictReplaceC" => dicts::replace_c;
        b"DictSet" => dicts::set;
        b"DictReplace" => dicts::replace;
        b"DictGetC" => dicts::get_c;
        b"DictGet" => dicts::get;
        b"DictDelC" => dicts::del_c;
        b"DictDel" => dicts::del;
        b"DictIteratorStartC" => dicts::start_c;
        b"DictIteratorStart" => dicts::start;
        b"DictIteratorStop" => dicts::stop;
        b"DictIteratorReseekC" => dicts::reseek_c;
        b"DictIteratorReseek" => dicts::reseek;
        b"DictNextC" => dicts::next_c;
        b"DictPrevC" => dicts::prev_c;
        b"DictNext" => dicts::next;
        b"DictPrev" => dicts::prev;
        b"DictCompareC" => dicts::compare_c;
        b"DictCompare" => dicts::compare;
        // Users.
        b"CreateModuleUser" => users::create;
        b"FreeModuleUser" => users::free;
        b"SetContextUser" => users::set_context_user;
        b"SetModuleUserACL" => users::set_rule;
        b"SetModuleUserACLString" => users::set_rules;
        b"GetModuleUserACLString" => users::describe;
        b"GetCurrentUserName" => users::current_name;
        b"GetModuleUserFromUserName" => users::by_name;
        b"ACLCheckCommandPermissions" => users::check_command;
        b"ACLCheckKeyPermissions" => users::check_key;
        b"ACLCheckKeyPrefixPermissions" => users::check_prefix;
        b"GetContextUser" => users::context_user;
        b"GetUserUsername" => users::name_of;
        b"ACLCheckChannelPermissions" => users::check_channel;
        b"ACLAddLogEntry" => users::add_log_entry;
        b"ACLAddLogEntryByUserName" => users::add_log_entry_by_name;
        b"AuthenticateClientWithACLUser" => users::log_in_as_name;
        b"AuthenticateClientWithUser" => users::log_in_as;
        b"DeauthenticateAndCloseClient" => users::log_out;
        // Options.
        b"RegisterBoolConfig" => configs::register_bool;
        b"RegisterNumericConfig" => configs::register_numeric;
        b"RegisterStringConfig" => configs::register_string;
        b"RegisterEnumConfig" => configs::register_enum;
        b"LoadConfigs" => configs::load;
        b"LoadDefaultConfigs" => configs::load_defaults;
        b"ConfigIteratorCreate" => settings::iterate;
        b"ConfigIteratorNext" => settings::next;
        b"ConfigIteratorRelease" => settings::release;
        b"ConfigGetType" => settings::kind;
        b"ConfigGet" => settings::get;
        b"ConfigGetBool" => settings::get_bool;
        b"ConfigGetEnum" => settings::get_words;
        b"ConfigGetNumeric" => settings::get_number;
        b"ConfigSet" => settings::set;
        b"ConfigSetBool" => settings::set_bool;
        b"ConfigSetEnum" => settings::set_words;
        b"ConfigSetNumeric" => settings::set_number;
        // Server events, promises.
        b"SubscribeToServerEvent" => events::subscribe;
        b"IsSubEventSupported" => events::is_supported;
        b"CallReplyPromiseSetUnblockHandler" => promises::set_handler;
        b"CallReplyPromiseAbort" => promises::abort;
        // Timers, events.
        b"CreateTimer" => misc::create_timer;
        b"StopTimer" => misc::stop_timer;
        b"GetTimerInfo" => misc::timer_info;
        b"SubscribeToKeyspaceEvents" => misc::subscribe;
        b"UnsubscribeFromKeyspaceEvents" => misc::unsubscribe;
        b"AddPostNotificationJob" => misc::add_post_job;
        b"NotifyKeyspaceEvent" => misc::notify_event;
        b"GetKeyspaceNotificationFlagsAll" => misc::notify_flags_all;
        // Blocked clients, threads.
        b"BlockClient" => blocked::block_client;
        b"BlockClientGetPrivateData" => blocked::get_private;
        b"BlockClientSetPrivateData" => blocked::set_private;
        b"UnblockClient" => blocked::unblock;
        b"IsBlockedReplyRequest" => blocked::is_reply;
        b"IsBlockedTimeoutRequest" => blocked::is_timeout;
        b"GetBlockedClientPrivateData" => blocked::private_of_context;
        b"GetBlockedClientHandle" => blocked::handle_of_context;
        b"AbortBlock" => blocked::abort;
        b"BlockedClientMeasureTimeStart" => blocked::measure_start;
        b"BlockedClientMeasureTimeEnd" => blocked::measure_end;
        b"SetDisconnectCallback" => blocked::set_disconnect;
        b"BlockedClientDisconnected" => blocked::is_disconnected;
        b"BlockClientOnKeys" => blocked::block_on_keys;
        b"BlockClientOnKeysWithFlags" => blocked::block_on_keys_with_flags;
        b"SignalKeyAsReady" => blocked::signal_key;
        b"GetBlockedClientReadyKey" => blocked::ready_key;
        b"GetThreadSafeContext" => blocked::thread_context;
        b"GetDetachedThreadSafeContext" => blocked::detached_context;
        b"FreeThreadSafeContext" => blocked::free_context;
        b"ThreadSafeContextLock" => gate::lock;
        b"ThreadSafeContextTryLock" => gate::try_lock;
        b"ThreadSafeContextUnlock" => gate::unlock;
        // Filters.
        b"RegisterCommandFilter" => filters::register;
        b"UnregisterCommandFilter" => filters::unregister;
        b"CommandFilterArgsCount" => filters::count;
        b"CommandFilterArgGet" => filters::get;
        b"CommandFilterArgInsert" => filters::insert;
        b"CommandFilterArgReplace" => filters::replace;
        b"CommandFilterArgDelete" => filters::delete;
        b"CommandFilterGetClientId" => filters::client_id;
        // INFO.
        b"RegisterInfoFunc" => info::register;
        b"InfoAddSection" => info::add_section;
        b"InfoBeginDictField" => info::begin_dict;
        b"InfoEndDictField" => info::end_dict;
        b"InfoAddFieldString" => info::add_string;
        b"InfoAddFieldCString" => info::add_c_string;
        b"InfoAddFieldDouble" => info::add_double;
        b"InfoAddFieldLongLong" => info::add_signed;
        b"InfoAddFieldULongLong" => info::add_unsigned;
        b"GetServerInfo" => info::get_info;
        b"FreeServerInfo" => info::free_info;
        b"ServerInfoGetField" => info::field;
        b"ServerInfoGetFieldC" => info::field_c;
        b"ServerInfoGetFieldSigned" => info::field_signed;
        b"ServerInfoGetFieldUnsigned" => info::field_unsigned;
        b"ServerInfoGetFieldDouble" => info::field_double;
        // Scans.
        b"ScanCursorCreate" => scan::create;
        b"ScanCursorRestart" => scan::restart;
        b"ScanCursorDestroy" => scan::destroy;
        b"Scan" => scan::scan;
        b"ScanKey" => scan::scan_key;
        // The rest.
        b"ResetDataset" => extra::reset_dataset;
        b"ClusterCanonicalKeyNameInSlot" => extra::canonical_name;
        b"GetMyClusterID" => extra::my_cluster_id;
        b"GetClientCertificate" => extra::certificate;
        b"EventLoopAddOneShot" => extra::one_shot;
        b"Yield" => extra::give_way;
        b"RegisterDefragFunc" => extra::register_defrag;
        b"RegisterDefragFunc2" => extra::register_defrag;
        b"DefragRedisModuleDict" => extra::defrag_dict;
        b"RegisterDefragCallbacks" => extra::register_defrag_callbacks;
        b"DefragAlloc" => extra::defrag_alloc;
        b"DefragAllocRaw" => extra::defrag_alloc_raw;
        b"DefragFreeRaw" => extra::defrag_free_raw;
        b"DefragRedisModuleString" => extra::defrag_alloc;
        b"DefragShouldStop" => extra::defrag_should_stop;
        b"DefragCursorSet" => extra::defrag_cursor_set;
        b"DefragCursorGet" => extra::defrag_cursor_get;
        b"GetDbIdFromDefragCtx" => extra::defrag_db;
        b"GetKeyNameFromDefragCtx" => extra::defrag_key;
        b"ClusterKeySlot" => misc::key_slot;
        b"ClusterKeySlotC" => misc::key_slot_of_bytes;
        b"Log" => oxidis_shim_log;
        b"_Assert" => misc::assertion;
        b"Milliseconds" => misc::milliseconds;
        b"MonotonicMicroseconds" => misc::monotonic_microseconds;
        b"Microseconds" => misc::microseconds;
        b"CachedMicroseconds" => misc::cached_microseconds;
        b"GetRandomBytes" => misc::random_bytes;
        b"GetRandomHexChars" => misc::random_hex;
        b"GetServerVersion" => misc::server_version;
        b"GetTypeMethodVersion" => misc::type_method_version;
    }
}
